# The file whose age tells the kubelet that a process without a port is alive.
class Heartbeat
  def initialize(path: Setting.text("HEARTBEAT_FILE", "/tmp/heartbeat"))
    @path = path
    @last = 0
  end

  # At most once a second. A full disk is not a reason to die.
  def touch
    now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    return if now - @last < 1

    @last = now
    FileUtils.touch(@path)
  rescue SystemCallError => error
    Rails.logger.warn(msg: "heartbeat", error: error.class.name)
  end
end

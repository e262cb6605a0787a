# The file whose age tells the kubelet that a process without a port is alive.
class Heartbeat
  # Seconds between two touches while it waits.
  TICK = 0.5

  def initialize(path: Setting.text("HEARTBEAT_FILE", "/tmp/heartbeat"))
    @path = path
    @last = 0
  end

  # At most once a second. A full disk is not a reason to die.
  def touch
    return if now - @last < 1

    @last = now
    FileUtils.touch(@path)
  rescue SystemCallError => error
    Rails.logger.warn(msg: "heartbeat", error: error.class.name)
  end

  # Waits, alive, for +seconds+ or until the block says that it is enough.
  def wait(seconds)
    deadline = now + seconds
    while !yield && (left = deadline - now).positive?
      touch
      sleep([left, TICK].min)
    end
  end

  private

  def now
    Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end
end

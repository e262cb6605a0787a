# bin/consumer, or another program, as a process of its own, with its log.
class ConsumerProcess
  ROOT = File.expand_path("../..", __dir__)

  attr_reader :pid

  def initialize(program = "bin/consumer", **environment)
    @log = Tempfile.new("consumer")
    environment = { "TEST_LOG" => "1", "HEARTBEAT_FILE" => heartbeat }.merge(environment.transform_keys(&:to_s))
    @pid = Process.spawn(environment, "#{ROOT}/#{program}", out: @log.path, err: [:child, :out])
  end

  def heartbeat
    "#{@log.path}.heartbeat"
  end

  def lines(message = nil)
    File.readlines(@log.path).filter_map { |line| JSON.parse(line) rescue nil }
        .select { |line| message.nil? || line["msg"] == message }
  end

  def log
    File.read(@log.path)
  end

  def signal(name)
    Process.kill(name, @pid)
  end

  # Seconds that it took to end, and how.
  def terminate(signal = "TERM")
    started = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    self.signal(signal)
    _, status = Process.wait2(@pid)
    @pid = nil
    [Process.clock_gettime(Process::CLOCK_MONOTONIC) - started, status]
  end

  def stop
    terminate("KILL") if @pid
    FileUtils.rm_f(heartbeat)
    @log.close!
  end
end

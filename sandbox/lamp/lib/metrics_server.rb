require "fileutils"
require "socket"
require "tmpdir"
require_relative "measures"
require_relative "process_figures"

# Answers GET /metrics on METRICS_PORT, beside whatever else the process does; without that variable there is no such port.
# Forked processes write what they count into files, which the one that forked them adds up.
class MetricsServer
  PATH = "/metrics"
  PATIENCE = 2
  WRITE_EVERY = 1

  class << self
    def start(...)
      port = Setting.number("METRICS_PORT", 0)
      return if port.zero?

      new(port, ...).start
    rescue SystemCallError => error
      # Being watched is not worth not running.
      Rails.logger.error(msg: "no metrics", port:, error: error.message)
      nil
    end

    # In a forked process: what it counts reaches the one that serves.
    def report_to_parent
      return if Setting.number("METRICS_PORT", 0).zero?

      Metrics.clear
      folder = folder_of(Process.ppid)
      FileUtils.mkdir_p(folder)
      Thread.new { loop { write("#{folder}/#{Process.pid}") && sleep(WRITE_EVERY) } }
    end

    def folder_of(pid)
      File.join(Dir.tmpdir, "metrics-#{pid}")
    end

    private

    def write(path)
      File.binwrite("#{path}.new", Marshal.dump(Metrics.snapshot))
      File.rename("#{path}.new", path)
      true
    rescue SystemCallError => error
      Rails.logger.warn(msg: "metrics not written", error: error.class.name)
      true
    end
  end

  # +puma+ tells Puma's own figures.
  def initialize(port, puma: nil)
    @port = port
    @puma = puma
    @figures = ProcessFigures.new
  end

  def start
    @server = TCPServer.new("0.0.0.0", @port)
    @thread = Thread.new { serve }
    self
  end

  def stop
    @server.close
    @thread.kill
  end

  # What a scrape gets.
  def text
    threads(@puma.call) if @puma
    @figures.read.each { |name, value| kernel(Measures::PROCESS.fetch(name), value) }
    Metrics.text(Metrics.snapshot, *reports)
  end

  private

  # The kernel's own counter is not added to but repeated.
  def kernel(series, value)
    series.clear
    series.is_a?(Metrics::Counter) ? series.add(value) : series.set(value)
  end

  # Processes that have ended keep their file: a sum that shrinks looks like a restart of everything.
  def reports
    Dir.glob("#{self.class.folder_of(Process.pid)}/*").reject { |path| path.end_with?(".new") }.filter_map do |path|
      Marshal.load(File.binread(path)) # rubocop:disable Security/MarshalLoad -- written by our own children
    rescue SystemCallError, ArgumentError, TypeError
      nil
    end
  end

  def threads(stats)
    workers = stats.fetch(:worker_status, [{ last_status: stats }]).map { |worker| worker[:last_status] }
    busy = workers.sum { |one| one[:busy_threads] || (one[:max_threads].to_i - one[:pool_capacity].to_i) }
    figures = { "puma_workers" => workers.size, "puma_busy_threads" => busy }
    { "puma_backlog" => :backlog, "puma_running_threads" => :running, "puma_max_threads" => :max_threads }.each do |name, key|
      figures[name] = workers.sum { |one| one[key].to_i }
    end
    figures.each { |name, value| Measures::PUMA.fetch(name).set(value) }
  end

  # One after the other: there is one Prometheus, and who sends nothing is not waited for long.
  def serve
    loop do
      client = @server.accept
      begin
        answer(client)
      rescue StandardError => error
        Rails.logger.debug(msg: "metrics", error: error.class.name)
      ensure
        client.close
      end
    end
  rescue IOError, SystemCallError
    nil
  end

  def answer(client)
    client.timeout = PATIENCE
    method, target = client.gets("\n", 4096).to_s.split
    while (line = client.gets("\n", 4096)) && !line.strip.empty?; end
    return respond(client, "405 Method Not Allowed", "GET #{PATH}\n") unless method == "GET"
    return respond(client, "404 Not Found", "it is #{PATH}\n") unless target.to_s.split("?").first == PATH

    respond(client, "200 OK", text)
  end

  def respond(client, status, body)
    client.write("HTTP/1.1 #{status}\r\ncontent-type: text/plain; version=0.0.4; charset=utf-8\r\n" \
                 "content-length: #{body.bytesize}\r\nconnection: close\r\n\r\n#{body}")
  end
end

require "net/http"

# Puma itself: what depends on the environment at boot, on signals and on a database that is away.
class WebProcessTest < ActiveSupport::TestCase
  ROOT = File.expand_path("../..", __dir__)

  setup { @port = TCPServer.open("127.0.0.1", 0) { |server| server.addr[1] } }
  teardown { finish("KILL") if @pid }

  def start(**environment)
    @log = Tempfile.new("web")
    environment = { PORT: @port.to_s, TEST_LOG: "1", **environment }.transform_keys(&:to_s)
    @pid = Process.spawn(environment, "puma", "-C", "#{ROOT}/config/puma.rb", chdir: ROOT, out: @log.path, err: @log.path)
    eventually(within: 40, message: -> { File.read(@log.path) }) { status("/health/live") rescue nil }
  end

  def finish(signal)
    Process.kill(signal, @pid)
    Process.wait2(@pid).last.tap { @pid = nil }
  end

  def status(path, headers = {})
    Net::HTTP.start("127.0.0.1", @port, read_timeout: 15) { |http| http.get(path, headers).code.to_i }
  end

  test "with FORCE_SSL a probe has to say https, and is then not redirected; hosts are checked" do
    start(FORCE_SSL: "true", RAILS_HOSTS: "lamps.example.com")
    https = { "X-Forwarded-Proto" => "https", "Host" => "lamps.example.com" }
    assert_equal [301, 200, 200], [status("/health/ready", "Host" => "lamps.example.com"),
                                   status("/health/ready", https), status("/health/live", https)]
    assert_equal 403, status("/health/ready", https.merge("Host" => "other.example.com"))
  end

  def metrics
    Net::HTTP.get(URI("http://127.0.0.1:#{@port + 1}/metrics"))
  end

  def counted(status)
    metrics[/^rails_requests_total\{method="GET",status="#{status}",controller="api\/lamps"\} (\d+)/, 1].to_i
  end

  test "it tells requests and threads at a port of their own, and no path of the public one does" do
    account
    start(METRICS_PORT: (@port + 1).to_s, RAILS_MAX_THREADS: "4")
    3.times { status("/api/lamps") }
    status("/health/live")
    assert_equal 3, counted(401)
    assert_match(/^rails_request_duration_seconds_bucket\{method="GET",controller="api\/lamps",le="10"\} 3$/, metrics)
    refute_match(/health/, metrics)
    told = %w[puma_workers puma_backlog puma_busy_threads puma_max_threads].map { |name| metrics[/^#{name} (\d+)/, 1].to_i }
    assert_equal [1, 0, 0, 4], told
    assert_equal 404, status("/metrics")
  end

  test "forked processes are told as one" do
    account
    start(METRICS_PORT: (@port + 1).to_s, RAILS_MAX_THREADS: "2", WEB_CONCURRENCY: "2")
    eventually(within: 20) { metrics[/^puma_workers (\d+)/, 1] == "2" rescue false }
    20.times { status("/api/lamps") }
    eventually { counted(401) == 20 }
    assert_match(/^puma_max_threads 4$/, metrics)
  end

  test "its log is JSON, one line per request with the client's address; SIGTERM ends it well" do
    account
    start(TRUSTED_PROXIES: "203.0.113.0/24")
    assert_equal 401, status("/api/lamps", "X-Forwarded-For" => "198.51.100.9, 203.0.113.7")
    line = eventually { File.readlines(@log.path).map { |text| JSON.parse(text) }.find { |entry| entry["path"] == "/api/lamps" } }
    assert_equal ["198.51.100.9", 401], line.values_at("ip", "status")
    assert_predicate finish("TERM"), :success?
  end

  test "with the database away it is live and not ready, and recovers by itself" do
    proxy, url = FlakyProxy.before(ENV.fetch("DATABASE_URL"), 5432)
    start(DATABASE_URL: url)
    assert_equal 200, status("/health/ready")
    proxy.cut
    assert_equal [503, 200], [status("/health/ready"), status("/health/live")]
    assert_equal 503, status("/api/lamps", "Authorization" => "Bearer #{TOKEN}")
    proxy.restore
    eventually { status("/health/ready") == 200 }
  ensure
    proxy&.cut
  end
end

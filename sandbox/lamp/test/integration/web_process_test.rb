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

# The consumer as a process, against servers that go away.
class FallsConsumerTest < ActiveSupport::TestCase
  setup do
    @queue = "falls-#{SecureRandom.hex(4)}"
    @broker = Broker.new
    @processes = []
    @proxies = []
    lamp
  end

  teardown do
    @processes.each { |process| puts process.log } unless passed?
    @processes.each(&:stop)
    @proxies.each(&:cut)
    @broker.delete(@queue) if @broker.queue?(@queue)
    @broker.close
  end

  def consumer(**environment)
    ConsumerProcess.new(FALLS_QUEUE: @queue, **environment).tap { |process| @processes << process }
  end

  def connected(process, times: 1)
    eventually(within: 40, message: -> { process.log }) { process.lines("connected to the broker").size >= times }
  end

  def start(**environment)
    @broker.declare(@queue)
    consumer(**environment).tap { |process| connected(process) }
  end

  def proxied(name, default_port)
    proxy, url = FlakyProxy.before(ENV.fetch(name), default_port)
    @proxies << proxy
    [proxy, { name.to_sym => url }]
  end

  def stored(id, within: 10)
    eventually(within:) { Event.find_by(uuid: id) }
  end

  # An event is stored before its message is acknowledged.
  def assert_drained
    @processes.each(&:stop)
    @processes.clear
    eventually { @broker.ready(@queue).zero? }
  end

  test "whatever comes is stored and acknowledged, and the next fall is heard" do
    process = start
    payloads = Payloads.fresh
    payloads.each { |payload| @broker.publish(payload.b) }
    @broker.publish("{}", serial: "nobody")
    stored(@broker.fall)
    assert_equal payloads.size + 2, Event.count
    eventually { process.lines("event").size == payloads.size + 2 }
    assert File.mtime(process.heartbeat) > 5.seconds.ago
    assert_predicate process.terminate.last, :success?
    assert_drained
  end

  test "messages that come again are stored once" do
    process = start
    id = @broker.fall
    3.times { @broker.fall(id) }
    eventually { process.lines("event").size == 4 }
    assert_equal [false, true, true, true], process.lines("event").map { |line| line["duplicate"] }
    assert_equal 1, Event.count
  end

  test "with Postgres away it stays connected, keeps the messages and goes on afterwards" do
    broker, amqp = proxied("AMQP_URL", 5672)
    postgres, database = proxied("DATABASE_URL", 5432)
    process = start(**amqp, **database)
    stored(@broker.fall)
    postgres.cut
    ids = Array.new(3) { @broker.fall }
    eventually { process.lines("not stored yet").size >= 3 }
    assert File.mtime(process.heartbeat) > 5.seconds.ago
    assert_equal 1, Event.count
    postgres.restore
    ids.each { |id| stored(id) }
    assert_equal [1, false], [broker.accepted, process.lines("event").any? { |line| line["duplicate"] }]
    assert_drained
  end

  test "with the broker away it tries again until it is back" do
    broker, amqp = proxied("AMQP_URL", 5672)
    process = start(**amqp)
    broker.cut
    id = @broker.fall
    eventually { process.lines("broker away").size >= 2 }
    broker.restore
    stored(id, within: 5)
  end

  test "a broker that is lost without a word is noticed within 20 s" do
    broker, amqp = proxied("AMQP_URL", 5672)
    process = start(**amqp)
    broker.freeze_line
    eventually(within: 20) { process.lines("broker link lost").any? }
    broker.thaw_for_new
    connected(process, times: 2)
  end

  test "a queue that is not there yet is waited for, not made" do
    process = consumer
    eventually(within: 20) { process.lines("broker away").size >= 2 }
    refute @broker.queue?(@queue)
    @broker.declare(@queue)
    stored(@broker.fall)
  end

  test "a standby takes over at once when the active one is killed" do
    first = start
    connected(consumer)
    stored(@broker.fall)
    eventually { first.lines("event").any? }
    first.terminate("KILL")
    stored(@broker.fall, within: 3)
  end

  test "SIGTERM ends it within 5 s, also while Postgres is away, and the messages stay with the broker" do
    postgres, database = proxied("DATABASE_URL", 5432)
    process = start(**database)
    stored(@broker.fall)
    postgres.cut
    @broker.fall
    eventually { process.lines("not stored yet").any? }
    seconds, status = process.terminate
    assert_operator seconds, :<, 5
    assert_predicate status, :success?
    eventually { @broker.ready(@queue) == 1 }
  end

  test "with Redis away falls get their alerts and are acknowledged" do
    start(REDIS_URL: "redis://127.0.0.1:1/0")
    id = @broker.fall
    eventually { Alert.joins(:event).exists?(events: { uuid: id }) }
    assert_drained
  end
end

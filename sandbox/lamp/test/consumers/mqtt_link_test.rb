# The consumer in its other mode, as a process: MQTT with a persistent session.
class MqttLinkTest < ActiveSupport::TestCase
  setup do
    @client_id = "consumer#{SecureRandom.hex(6)}"
    @queue = "mqtt-subscription-#{@client_id}qos1"
    @broker = Broker.new
    @processes = []
    lamp
  end

  teardown do
    @processes.each { |process| puts process.log } unless passed?
    @processes.each(&:stop)
    @broker.delete(@queue) if @broker.queue?(@queue)
    @broker.close
  end

  # A user name with the virtual host before it is RabbitMQ's way.
  def url(password = nil)
    uri = URI(ENV.fetch("MQTT_URL"))
    vhost = URI.encode_www_form_component(BrokerAccounts.vhost)
    uri.tap { uri.userinfo = "#{vhost}%3A#{uri.user}:#{password || uri.password}" }.to_s
  end

  def consumer(**environment)
    environment = { MQTT_URL: url, MQTT_TOPIC: "lamps/+/fall", MQTT_CLIENT_ID: @client_id }.merge(environment)
    ConsumerProcess.new(**environment).tap { |process| @processes << process }
  end

  def start
    consumer.tap { |process| eventually(within: 40, message: -> { process.log }) { process.lines("connected to the broker").any? } }
  end

  def stored(ids)
    eventually(within: 20, message: -> { @processes.last.log }) { Event.where(uuid: ids).count == ids.size }
  end

  test "more falls than the broker hands out at once are stored and acknowledged" do
    process = start
    ids = Array.new(50) { @broker.fall }
    stored(ids)
    assert_predicate process.terminate.last, :success?
    assert_equal 0, @broker.ready(@queue)
  end

  test "what comes while it is away waits in its session" do
    start.terminate("KILL")
    ids = Array.new(3) { @broker.fall }
    assert_empty Event.where(uuid: ids)
    start
    stored(ids)
  end

  test "a broken payload stops nobody" do
    start
    Payloads.fresh.each { |payload| @broker.publish(payload.b) }
    stored([@broker.fall])
  end

  test "a refused password is said, and tried again" do
    process = consumer(MQTT_URL: url("wrong"))
    eventually(within: 20, message: -> { process.log }) { process.lines("broker away").size >= 2 }
    assert_match(/user or password|not allowed|closed/, process.lines("broker away").first["reason"])
  end
end

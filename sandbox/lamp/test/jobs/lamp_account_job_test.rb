# Against the broker itself: what a lamp may do there is the broker's decision, not ours.
class LampAccountJobTest < ActiveSupport::TestCase
  setup { @serials = Array.new(2) { |n| "test-#{n}-#{SecureRandom.hex(4)}" } }
  teardown { @serials.each { |serial| Scratch.management.delete("users/#{serial}") rescue nil } }

  def make(serials) = LampAccountJob.new.perform(*serials.map { |serial| lamp(serial).id })

  def as(serial, password = PASSWORD)
    url = URI(ENV.fetch("AMQP_URL")).tap { |own| own.userinfo = "#{serial}:#{password}" }
    session = Bunny.new(url.to_s, recover_from_connection_close: false, automatically_recover: false,
                                  logger: Logger.new(File::NULL)).start
    yield session.create_channel
  ensure
    session&.close
  end

  def publish(channel, key)
    channel.confirm_select
    channel.basic_publish("{}", "amq.topic", key)
    channel.wait_for_confirms
  end

  # The broker refuses by closing the channel.
  def assert_refused(channel, key)
    channel.basic_publish("{}", "amq.topic", key)
    eventually(message: "#{key} was not refused") { channel.closed? }
  end

  def assert_limited(serial)
    as(serial) { |channel| assert publish(channel, "lamps.#{serial}.fall") }
    ["lamps.other.fall", "lamps.#{serial}x.fall", "x.lamps.#{serial}.fall"].each do |key|
      as(serial) { |channel| assert_refused(channel, key) }
    end
    as(serial) { |channel| channel.queue("mqtt-subscription-#{serial}qos1", durable: true).delete }
    ["falls", "mqtt-subscription-otherqos1", "mqtt-subscription-#{serial}qos1x"].each do |queue|
      as(serial) { |channel| assert_raises(Bunny::AccessRefused, queue) { channel.queue(queue, durable: true) } }
    end
  end

  test "one lamp's account is limited to its own topics and session" do
    make(@serials.first(1))
    assert_limited(@serials.first)
    assert lamp(@serials.first).broker_synced_at
  end

  test "many lamps' accounts are made at once, and limited alike" do
    make(@serials)
    @serials.each { |serial| assert_limited(serial) }
  end

  test "no lamp may publish before it is said what" do
    said = []
    management = Object.new
    management.define_singleton_method(:post) { |_path, body| said << body.keys }
    BrokerAccounts.new(management:, vhost: "/").import([lamp(@serials.first)])
    assert_equal [%i[users topic_permissions], %i[permissions]], said
  end

  test "making an account again is harmless and changes the password" do
    make(@serials.first(1))
    lamp(@serials.first).update!(broker_password: "another-password")
    make(@serials.first(1))
    as(@serials.first, "another-password") { |channel| assert channel.open? }
    assert_raises(Bunny::AuthenticationFailureError) { as(@serials.first) { nil } }
  end
end

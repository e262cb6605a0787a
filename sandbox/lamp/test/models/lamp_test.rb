class LampTest < ActiveSupport::TestCase
  test "serials that would reach into topics or patterns are refused" do
    ["", "a.b", "a/b", "a+", "#", "ä", "a b", "-a", "a\n", "x" * 65].each do |serial|
      refute Lamp.new(account:, serial:, broker_password: "p").valid?, serial.inspect
    end
    ["lamp-1", "L_2", "x" * 64].each { |serial| assert Lamp.new(account:, serial:, broker_password: "p").valid? }
  end

  test "no lamp is called as a user of the broker's own" do
    %w[app accounts monitor canary app-2].each { |serial| refute Lamp.new(account:, serial:, broker_password: "p").valid?, serial }
    assert Lamp.new(account:, serial: "canary", canary: true, broker_password: "p").valid?
  end

  test "only the password's hash is kept, and a new password needs a new broker account" do
    one = lamp.tap { |made| made.update!(broker_synced_at: Time.current) }
    assert_equal [true, false], [one.broker_password?(PASSWORD), one.broker_password?("other")]
    one.broker_password = "other-password"
    assert_nil one.broker_synced_at
  end

  # From RabbitMQ's documentation of its password hashes.
  test "a hash is what the broker expects" do
    assert_equal "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR",
                 BrokerPassword.hash("test12", ["908DC60A"].pack("H*"))
  end
end

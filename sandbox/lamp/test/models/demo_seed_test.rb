class DemoSeedTest < ActiveSupport::TestCase
  setup { ENV.update("DEMO_API_TOKEN" => "demo-token", "DEMO_LAMP_PASSWORD" => "demo-password", "DEMO_LAMPS" => "3") }
  teardown { %w[DEMO_API_TOKEN DEMO_LAMP_PASSWORD DEMO_LAMPS].each { |name| ENV.delete(name) } }

  test "planting twice changes nothing but enqueues the broker accounts again" do
    2.times { DemoSeed.new.plant }
    assert_equal [1, 3], [Account.count, Lamp.count]
    assert_equal [Lamp.order(:id).ids] * 2, queued(LampAccountJob)
  end

  test "a new token and a new password are followed" do
    DemoSeed.new.plant
    ENV.update("DEMO_API_TOKEN" => "new-token", "DEMO_LAMP_PASSWORD" => "new-password")
    DemoSeed.new.plant
    assert_nil Account.authenticate("demo-token")
    assert_equal "demo", Account.authenticate("new-token").name
    assert Lamp.first.broker_password?("new-password")
  end

  test "Redis away does not stop it" do
    without_redis { DemoSeed.new.plant }
    assert_equal 3, Lamp.count
  end
end

class AlertTest < ActiveSupport::TestCase
  test "a fall has one alert, however often it is raised" do
    event = stored_fall
    fresh = Array.new(3) { Alert.raise_for([event.id]) }
    assert_equal [1, 0, 0], fresh.map(&:size)
    assert_raises(ActiveRecord::RecordNotUnique) { Alert.create!(event:, lamp:, raised_at: Time.current) }
  end

  test "several processes at once raise one alert" do
    event = stored_fall
    Array.new(4) { Thread.new { Alert.raise_for([event.id]) } }.each(&:join)
    assert_equal 1, Alert.count
  end

  test "what is no fall raises nothing" do
    event = Event.create!(uuid: SecureRandom.uuid, kind: "unknown", topic: "t", received_at: Time.current)
    assert_empty Alert.raise_for([event.id, 0])
  end

  test "an acknowledged alert is not escalated, and stays acknowledged at its first time" do
    alert = open_alert.acknowledge
    time = alert.acknowledged_at
    assert_equal 0, Alert.escalate(alert.id)
    assert_equal time, alert.acknowledge.acknowledged_at
  end

  test "an escalated alert can still be acknowledged" do
    alert = open_alert
    Alert.escalate(alert.id)
    assert_equal "acknowledged", alert.acknowledge.state
    assert alert.escalated_at
  end
end

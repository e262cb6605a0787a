class SweeperTest < ActiveSupport::TestCase
  def sweep = Sweeper.new.sweep

  test "a fall whose job was lost is enqueued again, but not at every sweep" do
    event = stored_fall(created_at: 6.seconds.ago)
    3.times { sweep }
    assert_equal [[event.id]], queued(RaiseAlertJob)
  end

  test "a fall that has just come is left to its job" do
    stored_fall(created_at: 2.seconds.ago)
    sweep
    assert_empty queued(RaiseAlertJob)
  end

  test "a fall that waited too long gets its alert directly, and its escalation is scheduled" do
    event = stored_fall(created_at: 20.seconds.ago)
    2.times { sweep }
    assert_equal event.id, Alert.sole.event_id
    assert_equal [[Alert.sole.id]], scheduled(EscalateAlertJob).map(&:args)
  end

  test "with Redis away a fall still gets its alert" do
    stored_fall(created_at: 20.seconds.ago)
    without_redis { sweep }
    assert_equal 1, Alert.count
  end

  test "a batch is bounded" do
    now = Time.current
    rows = Array.new(Sweeper::LIMIT + 5) do
      { lamp_id: lamp.id, uuid: SecureRandom.uuid, kind: "fall", topic: "t", received_at: now, created_at: 6.seconds.ago }
    end
    Event.insert_all!(rows)
    sweep
    assert_equal Sweeper::LIMIT, queued(RaiseAlertJob).size
  end

  test "events that are no falls raise nothing" do
    Event.create!(uuid: SecureRandom.uuid, kind: "unknown", topic: "t", received_at: 1.hour.ago, created_at: 1.hour.ago)
    sweep
    assert_equal [0, []], [Alert.count, queued(RaiseAlertJob)]
  end

  test "an alert whose escalation was lost is escalated" do
    open_alert(raised_at: (Alert.patience + 20).seconds.ago)
    sweep
    assert_equal "escalated", Alert.sole.state
  end

  test "a lamp without broker account is enqueued, but not at every sweep" do
    lamp.update_columns(updated_at: 2.minutes.ago)
    2.times { sweep }
    assert_equal [[lamp.id]], queued(LampAccountJob)
  end
end

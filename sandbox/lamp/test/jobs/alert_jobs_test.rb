class AlertJobsTest < ActiveSupport::TestCase
  test "raising schedules one escalation, and only the first time" do
    event = stored_fall
    freeze_time do
      2.times { RaiseAlertJob.new.perform(event.id) }
      assert_equal [Alert.patience.seconds.from_now.to_i], scheduled(EscalateAlertJob).map { |job| job.at.to_i }
    end
  end

  test "an unanswered alert escalates, an answered one does not" do
    one, two = open_alert, open_alert.acknowledge
    [one, two].each { |alert| EscalateAlertJob.new.perform(alert.id) }
    assert_equal %w[escalated acknowledged], [one, two].map { |alert| alert.reload.state }
  end
end

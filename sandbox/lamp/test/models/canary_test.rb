# The canary's lamp takes the same way as every other, and concerns nobody.
class CanaryTest < ActiveSupport::TestCase
  def fallen(received_at: Time.current)
    stored_fall(lamp: canary, received_at:).tap { |event| Alert.raise_for([event.id]) }
  end

  test "its fall becomes an alert, is never escalated and not among people's" do
    theirs = open_alert(raised_at: 1.hour.ago)
    mine = fallen.alert
    mine.update!(raised_at: 1.hour.ago)
    assert_equal [theirs], Alert.unanswered_since(1.minute.ago).to_a
    Sweeper.new.sweep
    assert_equal %w[escalated open], [theirs, mine].map { |alert| alert.reload.state }
    EscalateAlertJob.new.perform(mine.id)
    assert_equal "open", mine.reload.state
  end

  test "its falls are forgotten after an hour, and only its own" do
    old, fresh, theirs = fallen(received_at: 2.hours.ago), fallen, stored_fall(received_at: 1.day.ago, alerted_at: Time.current)
    Sweeper.new.sweep
    assert_equal [fresh, theirs].map(&:id).sort, Event.ids.sort
    refute Alert.exists?(event_id: old.id)
  end

  test "what it sends is counted as its own" do
    was = counted
    Intake.new.store([fall(serial: canary.serial), fall(serial: lamp.serial), heard("{}", serial: "nobody")])
    assert_equal [1, 1], counted.zip(was).map { |now, before| now - before }
    assert_operator Measures::LAST_MESSAGE.snapshot[{ account: "canary" }], :>, 10.seconds.ago.to_f
  end

  def counted
    %w[canary customers].map { |account| Measures::MESSAGES.snapshot[{ account:, kind: "fall" }].to_i }
  end

  test "the broker is not asked to make its account" do
    canary
    assert_empty Lamp.without_broker_account(1.day.from_now)
  end

  test "a customer's lamp does not become the canary's by its name" do
    # From before that name was refused.
    lamp.update_columns(serial: "canary")
    error = assert_raises(RuntimeError) { canary }
    assert_match(/CANARY_LAMP is canary, and that lamp is a customer's/, error.message)
    refute_predicate Lamp.find_by(serial: "canary"), :canary?
  end
end

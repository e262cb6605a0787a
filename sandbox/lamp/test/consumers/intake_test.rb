class IntakeTest < ActiveSupport::TestCase
  setup { lamp }

  def store(*messages) = Intake.new.store(messages)

  test "a fall is stored and its alert is enqueued" do
    store(fall)
    assert_equal [[Event.sole.id]], queued(RaiseAlertJob)
  end

  test "a redelivered fall is stored once and enqueued once" do
    one = fall
    store(one)
    store(one)
    store(one, one)
    assert_equal [1, 1], [Event.count, queued(RaiseAlertJob).size]
  end

  test "two lamps may use the same id" do
    lamp("lamp-2")
    id = SecureRandom.uuid
    store(fall(id:), fall(id:, serial: "lamp-2"))
    assert_equal [2, 2], [Event.count, queued(RaiseAlertJob).size]
  end

  test "a fall without id is one event when it is redelivered, and another when it comes again later" do
    2.times { store(heard("{}"), heard("{}")) }
    assert_equal 1, Event.count
    store(heard("{}", received_at: 2.minutes.from_now))
    assert_equal [2, 2], [Event.count, queued(RaiseAlertJob).size]
  end

  test "whatever a lamp sends is stored, and every fall of a known lamp is enqueued" do
    payloads = Payloads.fresh
    store(*payloads.map { |payload| heard(payload) })
    assert_equal payloads.size, Event.count
    assert_equal payloads.size, queued(RaiseAlertJob).size
  end

  test "unknown lamps' messages are stored, once, and raise nothing" do
    one = fall(serial: "nobody")
    2.times { store(one) }
    assert_equal [["unknown", nil]], Event.pluck(:kind, :lamp_id)
    assert_empty queued(RaiseAlertJob)
  end

  test "a message that the database refuses is stored bare, and its neighbours as they are" do
    bad = fall
    bad.define_singleton_method(:attributes) { |lamp_id| super(lamp_id).merge(topic: "nul\0byte") }
    bad.define_singleton_method(:bare_attributes) { |lamp_id| super(lamp_id).merge(topic: "bare") }
    store(fall, bad, fall)
    assert_equal [nil, nil, "unstorable"], Event.order(:id).pluck(:flaw).sort_by(&:to_s)
    assert_equal 3, queued(RaiseAlertJob).size
  end

  test "with Redis away the alert is raised at once" do
    without_redis { store(fall) }
    assert_equal Event.sole.id, Alert.sole.event_id
  end
end

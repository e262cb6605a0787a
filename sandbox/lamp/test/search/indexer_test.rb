# Against a real search engine, in this process.
class IndexerTest < ActiveSupport::TestCase
  include Engine

  # Seconds to wait for a thread of the test's own.
  PATIENCE = 20

  setup { empty_engine }

  def uuids
    Event.order(:id).pluck(:uuid).sort
  end

  test "events are indexed by the day of their arrival, each under a name of its own" do
    Intake.new.store([fall, heard("{", kind: "x"), heard("{}", serial: "nobody")])
    stored_fall(received_at: 2.days.ago)
    index_all
    assert_equal uuids, events_in_engine
    names = engine.call(:get, "/events-*?filter_path=*.aliases").keys
    assert_equal [2.days.ago, Time.current].map { |time| time.utc.strftime("events-%Y.%m.%d") }, names.sort
  end

  test "whatever lamps send becomes text, and no two of them clash" do
    lamp
    Intake.new.store(Payloads.fresh.map { |payload| heard(payload) } + [fall(id: SecureRandom.uuid), heard({ id: SecureRandom.uuid, at: { x: 1 } })])
    index_all
    assert_equal uuids, events_in_engine
  end

  test "indexing everything again makes no second document" do
    3.times { stored_fall }
    2.times do
      Cursor.delete_all
      index_all
    end
    assert_equal uuids, events_in_engine
  end

  test "reading a page costs a page, however many events are left" do
    12.times { stored_fall }
    plan = Event.connection.select_value("EXPLAIN (ANALYZE, FORMAT JSON) #{EventDocuments.query(0, Event.maximum(:id), 5)}")
    nodes = [JSON.parse(plan).first["Plan"]]
    nodes.each { |node| nodes.concat(node["Plans"] || []) }
    assert_equal [5], nodes.select { |node| node["Join Type"] }.map { |node| node["Actual Rows"].to_i }
  end

  test "an event that is committed after others that came later is not passed" do
    lamp
    first, second = SecureRandom.uuid, SecureRandom.uuid
    open, close = Queue.new, Queue.new
    late = Thread.new do
      Event.transaction do
        stored_fall(uuid: first)
        open << true
        close.pop
      end
    end
    assert open.pop(timeout: PATIENCE), "the first was not stored"
    stored_fall(uuid: second)
    indexer = Indexer.new
    started = Time.now
    until Time.now - started > 3
      indexer.step
      sleep 0.1
    end
    assert_equal [], events_in_engine, "nothing is final while the first is open"
    close << true
    late.join
    index_all(indexer)
    assert_equal [first, second].sort, events_in_engine
  ensure
    # Left open, its transaction would keep every later test waiting for its rows.
    close&.push(true)
    late&.join(PATIENCE)
  end

  test "a long transaction that began earlier and writes later loses nothing either" do
    stored_fall
    indexer = Indexer.new
    index_all(indexer)
    open, close = Queue.new, Queue.new
    late = Thread.new do
      Event.transaction do
        open << Event.connection.select_value("SELECT 1")
        close.pop
        stored_fall
      end
    end
    assert open.pop(timeout: PATIENCE), "the transaction did not begin"
    stored_fall
    index_all(indexer)
    close << true
    late.join
    index_all(indexer)
    assert_equal uuids, events_in_engine
  ensure
    close&.push(true)
    late&.join(PATIENCE)
  end

  test "a full disk holds it up and loses nothing" do
    stored_fall
    indexer = Indexer.new
    index_all(indexer)
    engine.call(:put, "/events-*/_settings", { "index.blocks.read_only_allow_delete": true })
    stored_fall
    working = Thread.new { index_all(indexer) }
    eventually { Metrics.snapshot["app_index_failures_total"][{ reason: "throttled" }].to_i.positive? }
    engine.call(:put, "/events-*/_settings", { "index.blocks.read_only_allow_delete": nil })
    working.join
    assert_equal uuids, events_in_engine
  end

  test "a search engine that is away, or hangs, is waited for; the lag grows and then is gone" do
    proxy, url = FlakyProxy.before(ENV.fetch("ELASTICSEARCH_URL"), 9200)
    indexer = Indexer.new(index: EventIndex.new(SearchEngine.new(url:, patience: 1, reach: 1)))
    stored_fall(received_at: 1.minute.ago)
    proxy.cut
    refute indexer.step
    assert_operator Measures::INDEX_LAG.snapshot[{}], :>=, 60
    proxy.restore
    proxy.freeze_line
    refute indexer.step
    proxy.thaw_for_new
    index_all(indexer)
    indexer.step
    assert_equal [uuids, 0], [events_in_engine, Measures::INDEX_LAG.snapshot[{}]]
  ensure
    proxy&.cut
  end

  test "days beyond the retention are deleted, and not made again" do
    stored_fall(received_at: 40.days.ago)
    kept = stored_fall(received_at: 2.days.ago)
    index_all(Indexer.new(days: 90))
    assert_equal 2, indexed.size
    Cursor.delete_all
    index_all(Indexer.new(days: 30))
    assert_equal [kept.uuid], events_in_engine
    engine.call(:put, "/events-of-somebody-else", {})
    assert_equal [], EventIndex.new(engine).delete_before(Date.new(2000))
    EventIndex.new(engine).delete_before(Date.tomorrow)
    assert_equal ["events-of-somebody-else"], engine.call(:get, "/events-*?filter_path=*.aliases").keys
  end

  test "the canary's falls are not indexed" do
    Intake.new.store([fall(serial: canary.serial), fall(serial: lamp.serial)])
    index_all
    assert_equal [Event.find_by(lamp_id: lamp.id).uuid], events_in_engine
  end

  test "a field that nobody foresaw is refused, and held against nobody else" do
    EventIndex.new(engine).prepare
    stray = EventDocuments::Document.new(1, %({"index":{"_index":"events-2026.01.02","_id":"a"}}\n{"surprise":1}\n))
    good = EventDocuments::Document.new(2, %({"index":{"_index":"events-2026.01.02","_id":"b"}}\n{"kind":"fall"}\n))
    outcome = EventIndex.new(engine).put([stray, good])
    assert_equal [1, [stray], []], [outcome.taken, outcome.hopeless, outcome.again]
  end
end

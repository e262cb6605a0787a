# How fast the indexer is beside bulk requests sent straight at the same server: the same events, in the same run. The
# events are of a day just inside the retention, and gone afterwards, together with their indices.
class IndexMeasurement
  STRAIGHT = "events-measured"
  WARM = 0.5
  # Each goes first in turn: the server still merges what the one before has written.
  ROUNDS = [%i[straight indexer], %i[indexer straight]] * 2

  def initialize(events:, batch: Setting.number("INDEX_BATCH", 1000), days: Setting.number("INDEX_RETENTION_DAYS", 30))
    @events = events
    @batch = batch
    @days = days
    @day = Time.current.utc.to_date - days + 1
    @engine = SearchEngine.new
    @heap = []
  end

  # Seconds of each, and the fullest heap that was seen, in percent.
  def run
    raise "#{index} is there already: its events would be lost" if exists?(index)

    position = Cursor.position(Indexer::CURSOR)
    plant
    EventIndex.new(@engine).prepare
    bodies = texts
    straight(bodies.first((bodies.size * WARM).ceil))
    took = ROUNDS.flatten.map { |way| [way, way == :straight ? straight(bodies) : indexer] }
    mean = ->(wanted) { took.sum { |way, seconds| way == wanted ? seconds : 0 } / ROUNDS.size }
    { events: @events, batch: @batch, heap_percent: @heap.max, straight_seconds: mean.(:straight), indexer_seconds: mean.(:indexer) }
  ensure
    clean(position)
  end

  private

  def index = "events-#{@day.strftime("%Y.%m.%d")}"

  # As large as a lamp's messages are, and alerted of already.
  def plant
    lamp = Lamp.where(canary: false).first or raise "there is no lamp"
    @first = Event.maximum(:id).to_i
    Event.connection.execute(<<~SQL.squish)
      SET statement_timeout = 0; INSERT INTO events (lamp_id, uuid, kind, topic, payload, occurred_at, received_at, alerted_at)
      SELECT #{lamp.id}, gen_random_uuid(), 'fall', 'lamps/#{lamp.serial}/fall',
        jsonb_build_object('id', gen_random_uuid(), 'battery', n % 100, 'room', (ARRAY['kitchen','hall','bathroom'])[1 + n % 3], 'raw', repeat(md5(n::text), 8)),
        '#{@day} 12:00', '#{@day} 12:00', now()
      FROM generate_series(1, #{@events}) AS n
    SQL
    @last = Event.maximum(:id)
  end

  def texts
    position = @first
    made = []
    while (batch = EventDocuments.read(position:, final: @last, limit: @batch, since: @day.beginning_of_day)).last
      made << batch.documents.map(&:lines).join.gsub(%("#{index}"), %("#{STRAIGHT}"))
      position = batch.last
    end
    made
  end

  def straight(bodies)
    forget(STRAIGHT)
    timed { bodies.each { |body| @engine.call(:post, "/_bulk?filter_path=errors", body, type: "application/x-ndjson") && look } }
  end

  # The wait until the new events are final is left out: it is a second or two, however many they are.
  def indexer
    forget(index)
    Cursor.delete_all
    Cursor.advance(Indexer::CURSOR, @first)
    settled = SettledEvents.new
    sleep(0.1) until settled.look >= @last
    made = Indexer.new(batch: @batch, days: @days, settled:)
    timed { made.step && sleep(0.1) until Cursor.position(Indexer::CURSOR) >= @last }.tap { look }
  end

  def timed
    started = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    yield
    Process.clock_gettime(Process::CLOCK_MONOTONIC) - started
  end

  def look
    return if @looked && Time.now - @looked < 1

    @looked = Time.now
    nodes = @engine.call(:get, "/_nodes/stats/jvm?filter_path=nodes.*.jvm.mem.heap_used_percent")["nodes"]
    @heap += nodes.values.map { |node| node.dig("jvm", "mem", "heap_used_percent") }
  end

  def exists?(name)
    @engine.call(:get, "/#{name}?filter_path=*.aliases&ignore_unavailable=true").any?
  end

  def forget(name)
    @engine.call(:delete, "/#{name}?ignore_unavailable=true")
  end

  def clean(position)
    return unless @first

    Event.where(id: (@first + 1)..@last.to_i).in_batches(of: 10_000).delete_all
    Cursor.delete_all
    Cursor.advance(Indexer::CURSOR, position)
    [STRAIGHT, index].each { |name| forget(name) }
  end
end

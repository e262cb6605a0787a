# Brings stored events into the search engine, for ever. Nobody waits for it: it reads what is committed, holds no
# transaction while the search engine works, and has no part in raising an alert. Two at once do the same work twice.
class Indexer
  CURSOR = "search"
  TICK = 0.5
  PREPARE_EVERY = 600
  CLEAN_EVERY = 3600
  STOP_WITHIN = 4.5

  def self.start
    indexer = new
    %w[TERM INT].each do |signal|
      trap(signal) do
        indexer.stop
        # What was not noted as done is done again by the next one.
        Thread.new { sleep(STOP_WITHIN) && exit!(0) }
      end
    end
    MetricsServer.start
    indexer.run
  end

  # +batch+: events in a request; +days+: how long events stay searchable.
  def initialize(index: (EventIndex.new if SearchEngine.there?), heartbeat: Heartbeat.new, settled: SettledEvents.new,
                 batch: Setting.number("INDEX_BATCH", 1000), days: Setting.number("INDEX_RETENTION_DAYS", 30))
    @index = index
    @heartbeat = heartbeat
    @batch = batch
    @days = days
    @settled = settled
    @backoff = Backoff.new(first: 0.5, limit: 15)
    @stopping = false
    show
  end

  def run
    return idle unless @index

    Rails.logger.info(msg: "indexer started", batch: @batch, days: @days)
    until @stopping
      step
      pause(TICK)
    end
    Rails.logger.info(msg: "indexer stopped")
  end

  # One round: index what is final, and delete what is old. Returns whether everything went well.
  def step
    @heartbeat.touch
    keep_house
    catch_up
    @backoff.reset
    true
  rescue SearchEngine::Away, SearchEngine::Throttled, SearchEngine::Refused, ActiveRecord::ActiveRecordError, PG::Error => error
    trouble(error)
    false
  end

  # May be called from a signal handler.
  def stop
    @stopping = true
  end

  private

  def show
    Measures::INDEX_ENABLED.set(@index ? 1 : 0)
    Measures::INDEX_SUCCESS.set(0)
    Measures::INDEXED.init
    Measures::DELETED_INDICES.init
    %w[away throttled refused rejected].each { |reason| Measures::INDEX_FAILURES.init(reason:) }
    Measures::INDEX_LAG.tell { (oldest = @oldest) ? (Time.current - oldest).round(3) : 0 }
  end

  def idle
    Rails.logger.info(msg: "no ELASTICSEARCH_URL: nothing to do")
    pause(60) until @stopping
  end

  def keep_house
    unless recent?(@prepared, PREPARE_EVERY)
      @index.prepare
      @prepared = now
    end
    return if recent?(@cleaned, CLEAN_EVERY)

    deleted = @index.delete_before(first_day)
    Measures::DELETED_INDICES.add(deleted.size)
    Rails.logger.info(msg: "indices deleted", indices: deleted) if deleted.any?
    @cleaned = now
  end

  # The next events are read while the search engine takes the last ones.
  def catch_up
    final = @settled.look
    position = Cursor.position(CURSOR)
    batch = read(position, final)
    while batch.last && !@stopping
      following = Thread.new(batch.last) { |last| Rails.application.executor.wrap { read(last, final) } }
      following.report_on_exception = false
      deliver(batch)
      Cursor.advance(CURSOR, batch.last)
      batch = following.value
    end
    @oldest = oldest_after(final) unless @stopping
    Measures::INDEX_SUCCESS.set(Time.now.to_f.round(3))
  end

  def read(position, final)
    EventDocuments.read(position:, final:, limit: @batch, since: first_day.beginning_of_day)
  end

  # Every document, however often that takes; only one that will never be taken is left out, and told of.
  def deliver(batch)
    @oldest = batch.oldest || @oldest
    documents = batch.documents
    until documents.empty?
      @heartbeat.touch
      outcome = @index.put(documents)
      Measures::INDEXED.add(outcome.taken)
      reject(outcome)
      documents = outcome.again
      next if documents.empty?

      Measures::INDEX_FAILURES.add(documents.size, reason: "throttled")
      Rails.logger.warn(msg: "not indexed yet", events: documents.size, reason: outcome.reason)
      pause(@backoff.next)
      raise SearchEngine::Throttled, outcome.reason if @stopping
    end
    @backoff.reset
  end

  def reject(outcome)
    return if outcome.hopeless.empty?

    Measures::INDEX_FAILURES.add(outcome.hopeless.size, reason: "rejected")
    Rails.logger.error(msg: "never indexed", events: outcome.hopeless.map(&:id), reason: outcome.reason)
  end

  # Those that are not final yet are late as well.
  def oldest_after(final)
    Event.left_joins(:lamp).where(id: (final + 1)..).where("canary IS NOT TRUE").order(:id).pick(:received_at)
  end

  def trouble(error)
    database = error.is_a?(ActiveRecord::ActiveRecordError) || error.is_a?(PG::Error)
    DatabaseTrouble.forget_connections if database
    Measures::INDEX_FAILURES.add(reason: reason(error)) unless database
    # A search engine that comes back may be another one.
    @prepared = nil
    # The first event that waits tells how far behind it is, also when it is away from the start.
    @oldest ||= waiting unless database
    Rails.logger.warn(msg: database ? "database away" : "not indexed yet", error: error.class.name,
                      reason: error.message.to_s.lines.first&.strip&.truncate(300))
    pause(@backoff.next)
  end

  def waiting
    oldest_after(Cursor.position(CURSOR))
  rescue ActiveRecord::ActiveRecordError, PG::Error
    nil
  end

  def reason(error)
    { SearchEngine::Away => "away", SearchEngine::Throttled => "throttled" }.fetch(error.class, "refused")
  end

  def first_day
    Time.current.utc.to_date - @days
  end

  def recent?(time, seconds)
    time && now - time < seconds
  end

  def pause(seconds)
    @heartbeat.wait(seconds) { @stopping }
  end

  def now
    Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end
end

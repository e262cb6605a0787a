# Finds what fell between two chairs: falls whose alert never came because Redis or Sidekiq lost the job, alerts whose
# escalation never ran, lamps whose broker account was never made. Every copy of the consumer may run it.
class Sweeper
  EVERY = 2
  FORGOTTEN_AFTER = 5.seconds
  ENQUEUE_AGAIN_AFTER = 10.seconds
  # A fall does not wait for Redis or Sidekiq any longer than this.
  RAISE_DIRECTLY_AFTER = 15.seconds
  ESCALATION_GRACE = 15.seconds
  LAMPS_AFTER = 60.seconds
  # The canary's falls are kept for as long as somebody may wonder about them.
  CANARY_KEPT = 1.hour
  LIMIT = 200

  def start
    @thread = Thread.new { run }
    self
  end

  def stop
    @thread&.kill
  end

  def sweep
    raise_overdue
    enqueue_forgotten
    escalate_overdue
    enqueue_lamps
    Event.forget_canary(before: CANARY_KEPT.ago, limit: LIMIT)
  end

  private

  def run
    loop do
      sleep(EVERY * (0.75 + (rand * 0.5)))
      begin
        sweep
      rescue StandardError => error
        Rails.logger.warn(msg: "sweep failed", error: error.class.name, reason: error.message.lines.first&.strip)
        DatabaseTrouble.forget_connections
      end
    end
  end

  def raise_overdue
    overdue = Event.awaiting_alert.where(created_at: ...RAISE_DIRECTLY_AFTER.ago).order(:created_at).limit(LIMIT).pluck(:id)
    fresh = Alert.raise_for(overdue, by: "sweeper")
    return if fresh.empty?

    Rails.logger.warn(msg: "alerts raised by the sweeper", alerts: fresh.size)
    enqueue { fresh.each { |id| EscalateAlertJob.perform_in(Alert.patience, id) } }
  end

  def enqueue_forgotten
    ids = Event.claim_forgotten(older_than: FORGOTTEN_AFTER.ago, not_since: ENQUEUE_AGAIN_AFTER.ago, limit: LIMIT)
    return if ids.empty?

    Rails.logger.warn(msg: "forgotten falls enqueued again", falls: ids.size)
    enqueue { RaiseAlertJob.perform_bulk(ids.zip) }
  end

  def escalate_overdue
    since = Alert.patience.seconds.ago - ESCALATION_GRACE
    Alert.unanswered_since(since).order(:raised_at).limit(LIMIT).pluck(:id).each do |id|
      Rails.logger.warn(msg: "alert escalated", alert: id, by: "sweeper") if Alert.escalate(id).positive?
    end
  end

  # Touching them is what keeps the next sweep from enqueueing them again at once.
  def enqueue_lamps
    return unless BrokerAccounts.ours?

    ids = Lamp.without_broker_account(LAMPS_AFTER.ago).limit(LIMIT).pluck(:id)
    return if ids.empty?

    Lamp.where(id: ids).update_all(updated_at: Time.current)
    enqueue { LampAccountJob.perform_async(*ids) }
  end

  def enqueue
    yield
  rescue RedisClient::Error, ConnectionPool::TimeoutError => error
    Rails.logger.warn(msg: "enqueue failed", error: error.class.name)
  end
end

# What a new release does before its processes start: bring the schema up to date, then the seeds.
class Release
  ATTEMPTS = 10

  # Another release's migrations, a busy table's lock, a database in failover: all of them pass.
  PASSING = [ActiveRecord::ConcurrentMigrationError, ActiveRecord::LockWaitTimeout,
             ActiveRecord::ConnectionNotEstablished, ActiveRecord::ConnectionFailed].freeze

  # A server that proves to be another one does not become the right one by waiting; these are libpq's words.
  CERTIFICATE = /certificate|SSL/

  def run
    patiently { migrate }
    patiently { Rails.application.load_seed }
    Rails.logger.info(msg: "release done")
  end

  private

  def migrate
    ActiveRecord::Migration.verbose = false
    context = ActiveRecord::Base.connection_pool.migration_context
    pending = context.pending_migration_versions
    context.migrate
    Rails.logger.info(msg: "migrated", versions: pending)
  end

  def patiently
    attempt = 0
    begin
      yield
    rescue StandardError => error
      raise unless passing?(error) && (attempt += 1) < ATTEMPTS

      Rails.logger.warn(msg: "release waits", attempt:, error: "#{error.class}: #{error.message.lines.first&.strip}")
      DatabaseTrouble.forget_connections
      sleep([attempt, 5].min)
      retry
    end
  end

  # A migration's error arrives wrapped.
  def passing?(error)
    return false if CERTIFICATE.match?(error.message)

    [error, error.cause].compact.any? { |candidate| PASSING.any? { |kind| candidate.is_a?(kind) } }
  end
end

# Tells a database that is away, in failover or too busy from one that refuses this very data.
module DatabaseTrouble
  BAD_DATA = [PG::DataException, PG::IntegrityConstraintViolation, PG::ProgramLimitExceeded].freeze

  module_function

  def away?(error)
    return true if error.is_a?(PG::Error)
    return false unless error.is_a?(ActiveRecord::ActiveRecordError)
    return false if error.is_a?(ActiveRecord::RecordNotFound) || error.is_a?(ActiveRecord::RangeError)

    BAD_DATA.none? { |kind| error.cause.is_a?(kind) }
  end

  # Idle ones only, so it neither waits for other threads nor disturbs them.
  def forget_connections
    ActiveRecord::Base.connection_pool.flush!
  end
end

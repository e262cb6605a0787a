# Up to which id the table of events is final: ids are handed out before they are committed, so that one may turn up
# below others that were read long ago, and a cursor that went by what it saw would have passed it for good.
#
# First the largest id is noted. A moment later every statement that was given a smaller one has a transaction id, or
# is over, so the next transaction id to come is noted as well. Once no older transaction runs any more, nothing can
# appear below the noted id. So a transaction of an hour holds the cursor up for an hour, and makes it miss nothing.
class SettledEvents
  # Between being given an id and having a transaction id an INSERT does nothing that waits.
  MOMENT = 1.0

  Candidate = Data.define(:id, :seen_at, :horizon)

  attr_reader :id

  def initialize
    @id = 0
    @candidate = nil
  end

  # Looks again, and returns the id up to which all is final.
  def look
    largest, oldest, upcoming = ask
    case @candidate
    in nil
      @candidate = Candidate.new(largest, now, nil) if largest != @id
    in { horizon: nil, seen_at: } if now - seen_at >= MOMENT
      @candidate = @candidate.with(horizon: upcoming)
    in { horizon: Integer => horizon } if upcoming < horizon
      # Another server, which counts for itself.
      @candidate = nil
    in { horizon: Integer => horizon, id: } if oldest >= horizon
      @id = id
      @candidate = nil
    else
      nil
    end
    @id
  end

  private

  def ask
    Event.connection.select_rows(<<~SQL.squish).first.map(&:to_i)
      SELECT coalesce((SELECT max(id) FROM events), 0), pg_snapshot_xmin(now.snapshot)::text, pg_snapshot_xmax(now.snapshot)::text
      FROM (SELECT pg_current_snapshot() AS snapshot) AS now
    SQL
  end

  def now
    Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end
end

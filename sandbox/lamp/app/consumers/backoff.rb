# Seconds to wait before the next try: doubling up to a limit, each a random part of it, so that copies do not march.
class Backoff
  def initialize(first: 0.2, limit: 2.0)
    @first = first
    @limit = limit
    reset
  end

  def reset
    @ceiling = @first
  end

  def next
    wait = @ceiling * (0.5 + (rand * 0.5))
    @ceiling = [@ceiling * 2, @limit].min
    wait
  end
end

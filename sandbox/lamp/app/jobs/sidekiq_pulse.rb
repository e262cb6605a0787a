# Sidekiq's own beat needs Redis. Its file must not: Redis away is no reason to restart the workers, so it is touched
# while the beat goes on, and also while Redis does not answer.
class SidekiqPulse
  EVERY = 5
  PATIENCE = 45

  def initialize(config, heartbeat: Heartbeat.new)
    @config = config
    @heartbeat = heartbeat
    @beat = now
  end

  def start
    @config.on(:beat) { @beat = now }
    Thread.new { run }
  end

  private

  def run
    loop do
      @heartbeat.touch if now - @beat < PATIENCE || redis_away?
      sleep(EVERY)
    end
  end

  def redis_away?
    Sidekiq.redis { |connection| connection.call("PING") }
    false
  rescue RedisClient::Error, ConnectionPool::TimeoutError
    true
  end

  def now
    Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end
end

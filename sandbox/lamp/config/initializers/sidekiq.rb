redis = { url: Setting.text("REDIS_URL", "redis://localhost:6379/0"), ssl_params: Verification.params("REDIS").presence }.compact

Sidekiq.configure_server do |config|
  config.logger = Rails.logger
  config.redis = redis.merge(connect_timeout: 2, timeout: 3)
  # Escalations are scheduled jobs; the default of 5 s and more is late for them.
  config[:average_scheduled_poll_interval] = 2
  config.error_handlers.replace([lambda do |error, context, _config|
    DatabaseTrouble.forget_connections if DatabaseTrouble.away?(error)
    Rails.logger.warn(msg: "job failed", job: context.dig(:job, "class") || context[:context],
                      error: error.class.name, reason: error.message.truncate(300), at: error.backtrace&.first)
  end])
  config.server_middleware { |chain| chain.add(JobMetrics) }
  config.on(:startup) do
    SidekiqPulse.new(config).start
    MetricsServer.start
  end
end

# Whoever enqueues (consumer, web) has something better to do than wait for Redis: the sweeper makes up for it.
Sidekiq.configure_client do |config|
  config.logger = Rails.logger
  config.redis = redis.merge(connect_timeout: 0.5, timeout: 0.5, reconnect_attempts: 1)
end

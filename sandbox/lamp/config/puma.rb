require "json"
require "time"

threads_count = Integer(ENV.fetch("RAILS_MAX_THREADS", 5))
threads threads_count, threads_count

bind "tcp://0.0.0.0:#{ENV.fetch("PORT", 3000)}"
environment ENV.fetch("RAILS_ENV", "production")

processes = Integer(ENV.fetch("WEB_CONCURRENCY", 0))
if processes > 1
  workers processes
  preload_app!
  worker_shutdown_timeout Integer(ENV.fetch("PUMA_SHUTDOWN_TIMEOUT", 20))
  on_worker_boot { MetricsServer.report_to_parent }
end

# The process that forks, or the only one, tells Prometheus of all.
on_booted { MetricsServer.start(puma: -> { Puma.stats_hash }) }

# Longer than the gateway keeps an idle connection to us, or it reuses one that we are just closing.
persistent_timeout Integer(ENV.fetch("PUMA_PERSISTENT_TIMEOUT", 75))

# Ending on SIGTERM is what a rolling update asks for, not a failure.
raise_exception_on_sigterm false

log_formatter do |line|
  JSON.generate(time: Time.now.utc.iso8601(3), level: "info", msg: line.to_s.strip)
end

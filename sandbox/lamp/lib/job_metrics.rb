require_relative "measures"

# Counts what Sidekiq runs, and how long it takes.
class JobMetrics
  def call(_job, message, _queue)
    started = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    result = "failed"
    yield.tap { result = "ok" }
  ensure
    Measures::JOBS.add(job: message["class"], result:)
    Measures::JOB_SECONDS.observe(Process.clock_gettime(Process::CLOCK_MONOTONIC) - started, job: message["class"])
  end
end

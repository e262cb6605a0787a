require_relative "metrics"

# Everything that the product's processes measure; docs/components/rails.md explains the names.
module Measures
  REQUESTS = Metrics.counter("rails_requests_total", "Requests answered, without those of probes.")
  REQUEST_SECONDS = Metrics.histogram("rails_request_duration_seconds", "Time that requests took inside Rails.")
  PUMA = {
    "puma_workers" => Metrics.gauge("puma_workers", "Server processes."),
    "puma_backlog" => Metrics.gauge("puma_backlog", "Accepted connections that wait for a thread."),
    "puma_busy_threads" => Metrics.gauge("puma_busy_threads", "Threads at work."),
    "puma_running_threads" => Metrics.gauge("puma_running_threads", "Threads that there are."),
    "puma_max_threads" => Metrics.gauge("puma_max_threads", "Threads that there may be."),
  }.freeze
  JOBS = Metrics.counter("app_jobs_total", "Jobs that ran.")
  JOB_SECONDS = Metrics.histogram("app_job_duration_seconds", "Time that jobs took.")
  ALERTS = Metrics.counter("app_alerts_raised_total", "Alerts made, by whose they are and by who made them.")
  CONNECTED = Metrics.gauge("app_mqtt_connected", "1 while linked to the broker.")
  MESSAGES = Metrics.counter("app_mqtt_messages_processed_total", "Messages committed, redeliveries included.")
  LAST_MESSAGE = Metrics.gauge("app_mqtt_last_message_timestamp_seconds", "When the last message was committed.")
  STORE_FAILURES = Metrics.counter("app_mqtt_store_failures_total", "Tries to store messages that failed.")
  INDEX_ENABLED = Metrics.gauge("app_index_enabled", "1 with a search engine, 0 without one.")
  INDEX_LAG = Metrics.gauge("app_index_lag_seconds", "Age of the oldest event that is not in the search index.")
  INDEXED = Metrics.counter("app_index_indexed_total", "Events that the search engine took.")
  INDEX_FAILURES = Metrics.counter("app_index_failures_total", "Requests and events that the search engine did not take.")
  INDEX_SUCCESS = Metrics.gauge("app_index_last_success_timestamp_seconds", "When the search engine last took events, or there were none.")
  DELETED_INDICES = Metrics.counter("app_index_deleted_indices_total", "Indices that outlived the retention.")
  PROCESS = {
    "process_resident_memory_bytes" => Metrics.gauge("process_resident_memory_bytes", "Memory of this process and its children."),
    "process_cpu_seconds_total" => Metrics.counter("process_cpu_seconds_total", "Processor time of this process and its children."),
    "process_start_time_seconds" => Metrics.gauge("process_start_time_seconds", "When this process started."),
    "process_threads" => Metrics.gauge("process_threads", "Threads of this process and its children."),
    "process_open_fds" => Metrics.gauge("process_open_fds", "Open files of this process and its children."),
  }.freeze

  CUSTOMERS = "customers"
  CANARY = "canary"
  UNKNOWN = "unknown"

  module_function

  # Whose an event is. Never a name: each household would be a series of its own.
  def account(lamp_id, canary)
    return UNKNOWN if lamp_id.nil?

    canary ? CANARY : CUSTOMERS
  end
end

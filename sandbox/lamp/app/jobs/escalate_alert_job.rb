# Nobody answered in time: tell the next in line. The demo has no telephone, so its log line is the call.
class EscalateAlertJob
  include Sidekiq::Job

  sidekiq_options queue: "alerts", retry: 30
  # A failover takes seconds; the default first waits of 15 s and more are for patient work.
  sidekiq_retry_in { |count| count < 20 ? 1 + rand(3) : nil }

  def perform(alert_id)
    return if Alert.escalate(alert_id).zero?

    Rails.logger.warn(msg: "alert escalated", alert: alert_id)
  end
end

# Turns a stored fall into an alert. Running it again, or beside the sweeper, changes nothing.
class RaiseAlertJob
  include Sidekiq::Job

  sidekiq_options queue: "alerts", retry: 30
  # A failover takes seconds; the default first waits of 15 s and more are for patient work.
  sidekiq_retry_in { |count| count < 20 ? 1 + rand(3) : nil }

  def perform(event_id)
    Alert.raise_for([event_id]).each do |alert_id|
      Rails.logger.info(msg: "alert raised", alert: alert_id, event: event_id)
      EscalateAlertJob.perform_in(Alert.patience, alert_id)
    end
  end
end

# Makes the lamps' accounts in the broker. The broker knows lamps by itself, so Rails being down locks none out.
class LampAccountJob
  include Sidekiq::Job

  sidekiq_options queue: "default", retry: 25

  # A new installation's broker may come up minutes after its first job.
  sidekiq_retry_in { |count| count < 20 ? 5 + rand(5) : nil }

  def perform(*lamp_ids)
    return Rails.logger.info(msg: "broker accounts are made elsewhere", lamps: lamp_ids.size) unless BrokerAccounts.ours?

    lamps = Lamp.where(id: lamp_ids).to_a
    BrokerAccounts.new.make(lamps)
    lamps.each { |lamp| mark(lamp) }
    Rails.logger.info(msg: "broker accounts made", lamps: lamps.size)
  end

  private

  # Not when the password changed in between: then another job is on its way.
  def mark(lamp)
    Lamp.where(id: lamp.id, broker_password_hash: lamp.broker_password_hash).update_all(broker_synced_at: Time.current)
  end
end

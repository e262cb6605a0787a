# The demo's account and lamps, from the environment. Running it again follows changed tokens and passwords.
class DemoSeed
  ACCOUNT = "demo"
  CANARY = "canary"
  SLICE = 500

  def plant
    plant_canary
    account = plant_account
    lamps = (1..Setting.number("DEMO_LAMPS", 1)).map { |number| plant_lamp(account, "lamp-#{number}") }
    lamps.map(&:id).each_slice(SLICE) { |ids| enqueue(ids) }
    Rails.logger.info(msg: "seeded", lamps: lamps.size)
  end

  # Its account in the broker is the stack's, and its falls concern nobody. A customer's lamp never becomes one.
  def plant_canary
    token = ENV["CANARY_TOKEN"].presence or return
    serial = Setting.text("CANARY_LAMP", "canary")
    lamp = Lamp.find_or_initialize_by(serial:)
    raise "CANARY_LAMP is #{serial}, and that lamp is a customer's: name another, and the canary's topic after it" if lamp.persisted? && !lamp.canary?

    account = plant_account(CANARY, token)
    lamp.update!(account:, canary: true, broker_password: BrokerPassword.generate, broker_synced_at: Time.current) if lamp.new_record?
  end

  private

  def plant_account(name = ACCOUNT, token = Setting.text("DEMO_API_TOKEN"))
    account = Account.find_or_initialize_by(name:)
    account.api_token = token
    account.tap(&:save!)
  end

  def plant_lamp(account, serial)
    lamp = Lamp.find_or_initialize_by(serial:) { |fresh| fresh.account = account }
    password = ENV["DEMO_LAMP_PASSWORD"].presence
    if lamp.new_record? && password.nil?
      password = BrokerPassword.generate
      # The only time that it is seen: only its hash is kept.
      puts JSON.generate(msg: "lamp password, shown once", lamp: serial, password:)
    end
    lamp.broker_password = password if password && !lamp.broker_password?(password)
    lamp.tap(&:save!)
  end

  # Redis away is no reason to stop a release: the consumer's sweeper finds lamps without a broker account.
  def enqueue(ids)
    LampAccountJob.perform_async(*ids)
  rescue RedisClient::Error => error
    Rails.logger.warn(msg: "broker accounts not enqueued", error: error.message)
  end
end

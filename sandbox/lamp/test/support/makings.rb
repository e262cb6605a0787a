# Short ways to the things that tests are about.
module Makings
  TOKEN = "token-of-the-test"
  PASSWORD = "password-of-lamp"

  def account(name: "home", token: TOKEN)
    Account.find_by(name:) || Account.create!(name:, api_token: token)
  end

  def lamp(serial = "lamp-1", owner: account)
    Lamp.find_by(serial:) || Lamp.create!(serial:, account: owner, broker_password: PASSWORD)
  end

  def canary(token: "token-of-the-canary")
    Lamp.canary.first || begin
      ENV["CANARY_TOKEN"] = token
      DemoSeed.new.plant_canary
      Lamp.canary.first
    end
  ensure
    ENV.delete("CANARY_TOKEN")
  end

  def heard(body, serial: "lamp-1", kind: "fall", **rest)
    payload = body.is_a?(String) ? body : JSON.generate(body)
    LampMessage.new(routing_key: "lamps.#{serial}.#{kind}", payload:, **rest)
  end

  def fall(id: SecureRandom.uuid, at: Time.now.utc.iso8601, **rest)
    heard({ id:, at: }, **rest)
  end

  def stored_fall(lamp: self.lamp, **columns)
    Event.create!(lamp:, uuid: SecureRandom.uuid, kind: "fall", topic: "lamps/#{lamp.serial}/fall",
                  received_at: Time.current, occurred_at: Time.current, created_at: Time.current, **columns)
  end

  def open_alert(lamp: self.lamp, **columns)
    Alert.create!(lamp:, event: stored_fall(lamp:), raised_at: Time.current, **columns)
  end

  def queued(job)
    Sidekiq::Queue.new(job.get_sidekiq_options["queue"]).select { |entry| entry.klass == job.name }.map(&:args)
  end

  def scheduled(job)
    Sidekiq::ScheduledSet.new.select { |entry| entry.klass == job.name }
  end

  def eventually(within: 10, message: "it did not happen within #{within} s")
    deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + within
    until (result = yield)
      flunk(message) if Process.clock_gettime(Process::CLOCK_MONOTONIC) > deadline
      sleep(0.05)
    end
    pass
    result
  end

  # A Redis that nobody listens at.
  def without_redis
    pool = Sidekiq::RedisConnection.create(url: "redis://127.0.0.1:1/0", connect_timeout: 0.2, reconnect_attempts: 0, size: 2)
    Sidekiq::Client.via(pool) { yield }
  ensure
    pool&.shutdown(&:close)
  end
end

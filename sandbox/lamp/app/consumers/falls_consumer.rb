# Reads the queue of falls for ever. A message is acknowledged only after it is committed; while the database is away
# the link stays up and nothing is acknowledged, so the broker keeps what we could not.
class FallsConsumer
  PREFETCH = 50
  TICK = 0.5
  # A query that hangs must not delay the end: what is not acknowledged goes to the next consumer anyway.
  STOP_WITHIN = 4.5

  def self.start
    consumer = new
    %w[TERM INT].each do |signal|
      trap(signal) do
        consumer.stop
        Thread.new { sleep(STOP_WITHIN) && exit!(0) }
      end
    end
    consumer.show
    MetricsServer.start
    sweeper = Sweeper.new.start
    consumer.run
  ensure
    sweeper&.stop
  end

  # Where the environment names an MQTT topic, the broker is read by MQTT; otherwise its queue by AMQP.
  def self.link
    topic = Setting.text("MQTT_TOPIC", "")
    return MqttLink.new(url: Setting.text("MQTT_URL"), topic:, client_id: Setting.text("MQTT_CLIENT_ID")) unless topic.empty?

    BrokerLink.new(url: Setting.text("AMQP_URL"), queue: Setting.text("FALLS_QUEUE", "falls"), prefetch: PREFETCH)
  end

  def initialize(intake: Intake.new, heartbeat: Heartbeat.new)
    @intake = intake
    @heartbeat = heartbeat
    @reconnect = Backoff.new
    @stopping = false
  end

  def run
    Rails.logger.info(msg: "consumer started")
    until @stopping
      @heartbeat.touch
      with_link { |link| consume(link) }
    end
    Rails.logger.info(msg: "consumer stopped")
  end

  # What Prometheus sees before anything happened.
  def show
    Measures::CONNECTED.set(0)
    Measures::STORE_FAILURES.init
    [Measures::CUSTOMERS, Measures::CANARY].each do |account|
      Measures::MESSAGES.init(account:, kind: Event::FALL)
      Measures::LAST_MESSAGE.set(0, account:)
    end
  end

  # May be called from a signal handler.
  def stop
    @stopping = true
  end

  private

  def with_link
    link = self.class.link
    link.open
    Rails.logger.info(msg: "connected to the broker")
    @reconnect.reset
    Measures::CONNECTED.set(1)
    yield link
    Rails.logger.warn(msg: "broker link lost", reason: link.reason) unless @stopping
  rescue StandardError => error
    Rails.logger.warn(msg: "broker away", error: error.class.name, reason: error.message.to_s.truncate(200))
  ensure
    Measures::CONNECTED.set(0)
    link&.close
    pause(@reconnect.next) unless @stopping
  end

  def consume(link)
    until @stopping || link.lost?
      @heartbeat.touch
      batch = link.take(PREFETCH, TICK)
      link.acknowledge(batch.last) if batch.any? && stored?(batch.map(&:message), link)
    end
  end

  # Tries until it is stored. Gives up only when the broker will hand the messages out again anyway.
  def stored?(messages, link)
    backoff = Backoff.new
    begin
      @intake.store(messages)
      true
    rescue StandardError => error
      Measures::STORE_FAILURES.add
      Rails.logger.error(msg: "not stored yet", messages: messages.size, error: error.class.name,
                         reason: error.message.lines.first&.strip)
      DatabaseTrouble.forget_connections
      pause(backoff.next)
      return false if @stopping || link.lost?

      retry
    end
  end

  def pause(seconds)
    @heartbeat.wait(seconds) { @stopping }
  end
end

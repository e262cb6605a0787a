# The tests' virtual host: a queue as the stack declares it, and a way to publish as MQTT does.
class Broker
  ARGUMENTS = { "x-queue-type" => "quorum", "x-single-active-consumer" => true, "x-delivery-limit" => -1 }.freeze

  def initialize
    @session = Bunny.new(ENV.fetch("AMQP_URL")).start
    @channel = @session.create_channel
    @channel.confirm_select
  end

  def declare(queue)
    @channel.queue(queue, durable: true, arguments: ARGUMENTS).bind("amq.topic", routing_key: "lamps.*.fall")
  end

  def publish(payload, serial: "lamp-1", kind: "fall")
    payload = JSON.generate(payload) unless payload.is_a?(String)
    @channel.topic("amq.topic", durable: true).publish(payload, routing_key: "lamps.#{serial}.#{kind}")
    @channel.wait_for_confirms
  end

  def fall(id = SecureRandom.uuid)
    id.tap { publish({ id:, at: Time.now.utc.iso8601 }) }
  end

  # Messages that no consumer holds.
  def ready(queue)
    @channel.queue_declare(queue, passive: true).message_count
  end

  def queue?(queue)
    @session.queue_exists?(queue)
  end

  def delete(queue)
    @channel.queue_delete(queue)
  end

  def close
    @session.close
  end
end

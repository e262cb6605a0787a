require "bunny"

# One connection to the broker, from opening to its end. It never repairs itself: whoever uses it makes a new one,
# because what a repaired channel still has to acknowledge is anybody's guess.
class BrokerLink
  Delivery = Data.define(:tag, :message)

  HEARTBEAT = 5
  TIMEOUT = 4

  def initialize(url:, queue:, prefetch:)
    @url = url
    @queue = queue
    @prefetch = prefetch
    @deliveries = Thread::Queue.new
    @lost = nil
  end

  # The queue is only looked at, never declared: what it is like is the broker's business, and it may not exist yet.
  def open
    @session = Bunny.new(@url, options)
    @session.start
    @channel = @session.create_channel
    @channel.on_error { |_channel, close| lose(close.reply_text) }
    @channel.prefetch(@prefetch)
    @channel.queue_declare(@queue, passive: true)
    @channel.basic_consume_with(consumer)
    self
  end

  # Up to +limit+ deliveries, waiting for the first at most +seconds+.
  def take(limit, seconds)
    first = @deliveries.pop(timeout: seconds)
    return [] unless first

    batch = [first]
    batch << @deliveries.pop(true) while batch.size < limit && !@deliveries.empty?
    batch
  end

  # Everything up to and including this delivery.
  def acknowledge(delivery)
    @channel.ack(delivery.tag, true)
  end

  def lost?
    !@lost.nil? || !@session.open? || !@channel.open?
  end

  def reason
    @lost || "closed"
  end

  # Bunny reports what happens on its own threads by raising in the thread named here; this object just remembers.
  def raise(error)
    lose(error.message)
  end

  # A lost link's socket goes first, or closing it waits for answers that cannot come.
  def close
    @session&.transport&.close if @session && (@lost || !@channel)
    @session&.close
  rescue StandardError => error
    Rails.logger.debug(msg: "closing the broker link", error: error.class.name)
  end

  private

  def options
    { automatically_recover: false, recover_from_connection_close: false, session_error_handler: self,
      heartbeat: HEARTBEAT, connection_timeout: TIMEOUT, read_timeout: TIMEOUT, write_timeout: TIMEOUT,
      continuation_timeout: TIMEOUT * 1000, logger: Logger.new(File::NULL),
      client_properties: { connection_name: "lamplight consumer #{Socket.gethostname}" } }
  end

  def consumer
    Bunny::Consumer.new(@channel, @queue, @channel.generate_consumer_tag, false).tap do |consumer|
      consumer.on_delivery { |info, properties, payload| @deliveries << delivery(info, properties, payload) }
      consumer.on_cancellation { lose("the broker cancelled the consumer") }
    end
  end

  def delivery(info, properties, payload)
    stamp = properties.headers&.fetch("timestamp_in_ms", nil) || properties.timestamp&.to_i
    message = LampMessage.new(routing_key: info.routing_key, payload:, stamp: stamp&.to_s)
    Delivery.new(info.delivery_tag, message)
  end

  # The pushed nil wakes whoever waits in #take.
  def lose(reason)
    @lost ||= reason.to_s
    @deliveries << nil
  end
end

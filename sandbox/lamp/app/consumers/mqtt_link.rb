require "openssl"
require "socket"

# One MQTT connection with a persistent session, from opening to its end: as BrokerLink, for brokers that speak MQTT alone.
# The broker keeps what comes while nobody is connected, and hands out again what was not acknowledged.
class MqttLink
  Delivery = BrokerLink::Delivery
  class Refused < StandardError; end

  # Without an answer for half as long again the line is dead.
  KEEPALIVE = 10
  TIMEOUT = 4
  PORTS = { "mqtt" => 1883, "mqtts" => 8883 }.freeze
  CONNACK, PUBLISH, SUBACK, PINGRESP = 2, 3, 9, 13
  REFUSALS = { 1 => "protocol", 2 => "client id", 3 => "broker away", 4 => "user or password", 5 => "not allowed" }.freeze

  def initialize(url:, topic:, client_id:)
    @url = URI(url)
    @topic = topic
    @client_id = client_id
    @deliveries = Thread::Queue.new
    @received = 0
    @unacknowledged = []
    @writing = Mutex.new
    @lost = nil
  end

  def open
    @io = secured(Socket.tcp(@url.host, @url.port || PORTS.fetch(@url.scheme), connect_timeout: TIMEOUT))
    @heard = now
    send_packet(0x10, connect)
    expect(CONNACK) { |body| body.getbyte(1).zero? or raise Refused, REFUSALS.fetch(body.getbyte(1), "code #{body.getbyte(1)}") }
    send_packet(0x82, [1].pack("n") + text(@topic) + "\x01")
    expect(SUBACK) { |body| body.getbyte(2) == 1 or raise Refused, "subscription to #{@topic}" }
    @reader = Thread.new { listen }
    self
  end

  # Up to +limit+ deliveries, waiting for the first at most +seconds+.
  def take(limit, seconds)
    first = @deliveries.pop(timeout: seconds)
    return [] unless first

    batch = [first]
    batch << @deliveries.pop(true) while batch.size < limit && !@deliveries.empty?
    batch.compact
  end

  # Everything up to and including this delivery, in the order in which it came, as the protocol asks.
  def acknowledge(delivery)
    while @unacknowledged.any? && @unacknowledged.first.first <= delivery.tag
      _, packet_id = @unacknowledged.shift
      send_packet(0x40, [packet_id].pack("n"))
    end
  end

  def lost?
    !@lost.nil?
  end

  def reason
    @lost || "closed"
  end

  # Without a farewell when it is lost already: the session stays either way.
  def close
    send_packet(0xE0, "") if @io && !lost?
  rescue SystemCallError, IOError, OpenSSL::SSL::SSLError
    nil
  ensure
    @lost ||= "closed"
    @reader&.kill
    @io&.close
  end

  private

  def secured(socket)
    return socket unless @url.scheme == "mqtts"

    tls = OpenSSL::SSL::SSLSocket.new(socket, Verification.context("MQTT"))
    tls.sync_close = true
    tls.hostname = @url.host
    tls.connect
  end

  # Clean session off, with user and password if the address has them.
  def connect
    login = [@url.user, @url.password].compact.map { |part| text(URI.decode_www_form_component(part)) }
    flags = (@url.user ? 0x80 : 0) | (@url.password ? 0x40 : 0)
    [text("MQTT"), [4, flags, KEEPALIVE].pack("CCn"), text(@client_id), *login].join
  end

  def expect(type)
    loop do
      kind, flags, body = packet(TIMEOUT)
      return yield(body) if kind == type

      # What the session kept may come before the answer to the subscription.
      handle(kind, flags, body)
    end
  end

  def listen
    asked = now
    until lost?
      if now - asked > KEEPALIVE / 2.0
        send_packet(0xC0, "")
        asked = now
      end
      return lose("no answer for #{(now - @heard).round} s") if now - @heard > KEEPALIVE * 1.5

      handle(*packet(TIMEOUT)) if readable?(1)
    end
  rescue StandardError => error
    lose("#{error.class.name}: #{error.message}")
  end

  def handle(kind, flags, body)
    return unless kind == PUBLISH

    topic = take_text(body)
    quality = flags >> 1 & 3
    # Packet ids start again at 1; what orders deliveries is a number of our own.
    @received += 1
    @unacknowledged << [@received, body.slice!(0, 2).unpack1("n")] if quality.positive?
    @deliveries << Delivery.new(@received, LampMessage.new(routing_key: topic.tr("/", "."), payload: body))
  end

  # Type, flags and body of the next packet.
  def packet(seconds)
    first = read(1, seconds).getbyte(0)
    length = shift = 0
    loop do
      byte = read(1, seconds).getbyte(0)
      length |= (byte & 0x7F) << shift
      shift += 7
      break if byte < 0x80
      raise Refused, "no MQTT" if shift > 21
    end
    [first >> 4, first & 15, read(length, seconds)]
  end

  def read(size, seconds)
    data = "".b
    until data.bytesize == size
      raise IOError, "no answer within #{seconds} s" unless readable?(seconds)

      part = @io.read_nonblock(size - data.bytesize, exception: false)
      raise EOFError, "the broker closed the connection" if part.nil?

      data << part if part.is_a?(String)
    end
    @heard = now
    data
  end

  def readable?(seconds)
    return true if @io.respond_to?(:pending) && @io.pending.positive?

    @io.to_io.wait_readable(seconds)
  end

  def send_packet(header, body)
    length = body.bytesize
    bytes = [header].pack("C")
    loop do
      byte = length & 0x7F
      length >>= 7
      bytes << (length.positive? ? byte | 0x80 : byte)
      break if length.zero?
    end
    @writing.synchronize { @io.write(bytes + body.b) }
  end

  def text(value)
    [value.bytesize].pack("n") + value.b
  end

  def take_text(body)
    body.slice!(0, body.slice!(0, 2).unpack1("n"))
  end

  # The pushed nil wakes whoever waits in #take.
  def lose(reason)
    @lost ||= reason.to_s
    @deliveries << nil
  end

  def now
    Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end
end

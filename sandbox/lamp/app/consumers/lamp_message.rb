require "active_support/core_ext/digest/uuid"

# One message as the broker handed it over, and what can be made of it. Reading never fails: what is wrong with a
# message is its flaw. A fall of a known lamp stays a fall whatever its payload says: better one alarm too many.
class LampMessage
  ROUTING_KEY = /\Alamps\.(?<serial>[^.]+)\.(?<kind>.+)\z/
  UUID = /\A\h{8}-\h{4}-\h{4}-\h{4}-\h{12}\z/
  RAW_LIMIT = 16 * 1024
  MAX_NESTING = 20
  # Clocks of lamps are off by minutes, not by days.
  MAX_AHEAD = 1.day
  EARLIEST = Time.utc(2000)
  NAMESPACE = Digest::UUID.uuid_v5(Digest::UUID::URL_NAMESPACE, "urn:lamplight:message")

  attr_reader :topic, :serial, :received_at, :flaw

  # +stamp+ is the broker's own time of arrival, which a redelivery repeats; nil when the broker sets none.
  def initialize(routing_key:, payload:, received_at: Time.current, stamp: nil)
    @routing_key = readable(routing_key)
    @payload = payload.to_s.b
    @received_at = received_at
    @stamp = stamp
    @topic = @routing_key.tr(".", "/").truncate(500)
    @serial, @topic_kind = ROUTING_KEY.match(@routing_key)&.captures
    read
  end

  def attributes(lamp_id)
    { lamp_id:, uuid:, fingerprint: (fingerprint unless id), kind: kind(lamp_id), flaw: flaw_for(lamp_id), topic:,
      payload: (data unless flaw), raw: (raw if flaw || lamp_id.nil?), occurred_at:, received_at: }
  end

  # The same event in a form that no database can refuse, for when it refused the first.
  def bare_attributes(lamp_id)
    attributes(lamp_id).merge(payload: nil, raw:, flaw: "unstorable", occurred_at: nil)
  end

  def id
    @id ||= data["id"].downcase if data["id"].is_a?(String) && UUID.match?(data["id"])
  end

  # A message without a usable id gets one that a redelivery arrives at again, but that a second fall with the same
  # words does not: a lamp that always sends the same broken payload must not be heard only once.
  def uuid
    @uuid ||= id || derive(fingerprint, @stamp || received_at.to_f.to_s)
  end

  def fingerprint
    @fingerprint ||= derive(@routing_key, @payload)
  end

  # Only without the broker's stamp do equal words within a short time have to pass for the same message.
  def guessed_identity?
    id.nil? && @stamp.nil?
  end

  private

  attr_reader :data

  def read
    @data = {}
    text = @payload.dup.force_encoding(Encoding::UTF_8)
    return @flaw = "invalid_utf8" unless text.valid_encoding?

    parsed = JSON.parse(text, max_nesting: MAX_NESTING)
    return @flaw = "not_an_object" unless parsed.is_a?(Hash)

    @data = parsed
    @flaw = objection
  rescue JSON::ParserError
    @flaw = "invalid_json"
  rescue StandardError
    @flaw = "unreadable"
  end

  def objection
    return "too_large" if @payload.bytesize > RAW_LIMIT
    return "unstorable" unless storable?
    return id_flaw unless id

    "invalid_time" unless occurred_at
  end

  def id_flaw
    data.key?("id") ? "invalid_id" : "missing_id"
  end

  # jsonb takes neither NUL nor lone surrogates.
  def storable?
    !JSON.generate(data).include?('\u0000')
  rescue JSON::GeneratorError, EncodingError
    false
  end

  def occurred_at
    return @occurred_at if defined?(@occurred_at)

    time = Time.iso8601(data["at"])
    @occurred_at = time.between?(EARLIEST, received_at + MAX_AHEAD) ? time : nil
  rescue ArgumentError, TypeError, NoMethodError, RangeError
    @occurred_at = nil
  end

  def kind(lamp_id)
    return Event::FALL if lamp_id && @topic_kind == Event::FALL
    return Event::UNKNOWN if lamp_id.nil? || flaw.nil?

    Event::MALFORMED
  end

  def flaw_for(lamp_id)
    return "unknown_topic" if serial.nil?
    return "unknown_lamp" if lamp_id.nil?

    flaw || ("unknown_kind" unless @topic_kind == Event::FALL)
  end

  def raw
    @payload.byteslice(0, RAW_LIMIT)
  end

  def readable(text)
    text.to_s.dup.force_encoding(Encoding::UTF_8).scrub("?").tr("\0", "?")
  end

  def derive(*parts)
    Digest::UUID.uuid_v5(NAMESPACE, parts.map(&:b).join("\0".b))
  end
end

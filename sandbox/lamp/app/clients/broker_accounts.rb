# A lamp's account in the broker: it may write and read its own topics and its own session's queue, nothing else.
class BrokerAccounts
  EXCHANGE = "amq.topic"

  def initialize(management: BrokerManagement.new, vhost: self.class.vhost)
    @management = management
    @vhost = vhost
  end

  # A broker without a management API has its accounts made by whoever runs it.
  def self.ours?
    !Setting.text("MQTT_MANAGEMENT_URL", "").empty?
  end

  # The virtual host of AMQP_URL, which is the one that MQTT uses too.
  def self.vhost
    path = URI(Setting.text("AMQP_URL", "amqp://localhost")).path
    path.length > 1 ? URI.decode_www_form_component(path.delete_prefix("/")) : "/"
  end

  def make(lamps)
    lamps.one? ? make_one(lamps.first) : import(lamps)
  end

  # Existing accounts that the definitions do not name stay as they are.
  def import(lamps)
    return if lamps.empty?

    # In two requests: of one, the broker takes all permissions before the first topic's (see make_one).
    @management.post("definitions",
                     users: lamps.map { |lamp| user(lamp).merge(name: lamp.serial) },
                     topic_permissions: lamps.map { |lamp| topic_permissions(lamp).merge(named(lamp)) })
    @management.post("definitions", permissions: lamps.map { |lamp| permissions(lamp).merge(named(lamp)) })
  end

  private

  def make_one(lamp)
    name = BrokerManagement.segment(lamp.serial)
    vhost = BrokerManagement.segment(@vhost)
    @management.put("users/#{name}", user(lamp))
    # The topics first: an account with permissions and without topic permissions may write everybody's.
    @management.put("topic-permissions/#{vhost}/#{name}", topic_permissions(lamp))
    @management.put("permissions/#{vhost}/#{name}", permissions(lamp))
  end

  def named(lamp)
    { user: lamp.serial, vhost: @vhost }
  end

  def user(lamp)
    { password_hash: lamp.broker_password_hash, hashing_algorithm: BrokerPassword::ALGORITHM, tags: "" }
  end

  def permissions(lamp)
    session = "mqtt-subscription-#{Regexp.escape(lamp.serial)}qos[01]"
    { configure: "^#{session}$", write: "^(amq\\.topic|#{session})$", read: "^(amq\\.topic|#{session})$" }
  end

  def topic_permissions(lamp)
    own = "^lamps\\.#{Regexp.escape(lamp.serial)}\\..*"
    { exchange: EXCHANGE, write: own, read: own }
  end
end

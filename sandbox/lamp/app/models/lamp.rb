# One lamp. Its serial is its MQTT user name, its client id and the second level of its topics.
class Lamp < ApplicationRecord
  # No dots: MQTT topic levels become dot separated in the broker's routing keys.
  SERIAL = /\A[A-Za-z0-9][A-Za-z0-9_-]{0,63}\z/

  # The broker's own users: making a lamp's account of that name would give its owner the administrator's password.
  RESERVED = /\A(app|accounts|monitor|canary|guest)(-\d+)?\z/

  belongs_to :account
  has_many :events, dependent: :restrict_with_error
  has_many :alerts, dependent: :restrict_with_error

  validates :serial, format: { with: SERIAL }, uniqueness: true
  validates :serial, format: { without: RESERVED, message: "is a name of the broker's own" }, unless: :canary?
  validates :broker_password_hash, presence: true

  # The canary's lamp falls every minute, and nobody is told: its falls show that somebody would be.
  scope :canary, -> { where(canary: true) }
  scope :without_broker_account, ->(since) { where(broker_synced_at: nil, updated_at: ...since) }

  # The hash is kept so that every account can be made again in a new broker; the password is not.
  def broker_password=(password)
    self.broker_password_hash = BrokerPassword.hash(password)
    self.broker_synced_at = nil
  end

  def broker_password?(password)
    broker_password_hash.present? && BrokerPassword.match?(password, broker_password_hash)
  end
end

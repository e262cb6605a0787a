# A household or care service: owns lamps, and its mobile apps share one API token.
class Account < ApplicationRecord
  has_many :lamps, dependent: :restrict_with_error
  has_many :alerts, through: :lamps

  validates :name, presence: true

  def self.digest(token)
    OpenSSL::Digest::SHA256.hexdigest(token)
  end

  # Only a digest is stored and looked up, so neither the table nor the time of a look-up tells anything of a token.
  def self.authenticate(token)
    return if token.blank?

    digest = digest(token)
    account = find_by(api_token_digest: digest)
    account if account && ActiveSupport::SecurityUtils.secure_compare(account.api_token_digest, digest)
  end

  def api_token=(token)
    self.api_token_digest = self.class.digest(token)
  end
end

Rails.application.configure do
  config.content_security_policy do |policy|
    policy.default_src :none
    policy.frame_ancestors :none
    policy.form_action :self
  end
  config.content_security_policy_nonce_generator = ->(_request) { SecureRandom.base64(16) }
  config.content_security_policy_nonce_directives = %w[style-src]
end

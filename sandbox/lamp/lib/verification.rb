require "openssl"

# How a server outside the cluster is verified: <NAME>_TLS (require, verify-ca, verify-full) and <NAME>_CA_FILE stand beside <NAME>_URL.
# Postgres needs none of it, libpq reads both from the URL.
module Verification
  module_function

  # What OpenSSL::SSL::SSLContext#set_params takes; nothing where the URL says it all.
  def params(name)
    mode = Setting.text("#{name}_TLS", "")
    return {} if mode.empty?

    verify_mode = mode == "require" ? OpenSSL::SSL::VERIFY_NONE : OpenSSL::SSL::VERIFY_PEER
    { verify_mode:, verify_hostname: mode == "verify-full", ca_file: ENV["#{name}_CA_FILE"].presence }.compact
  end

  def context(name)
    OpenSSL::SSL::SSLContext.new.tap { |context| context.set_params(params(name)) }
  end
end

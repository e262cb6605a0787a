# Passwords as RabbitMQ keeps them: base64(salt + SHA-256(salt + password)), salt of four bytes.
module BrokerPassword
  ALGORITHM = "rabbit_password_hashing_sha256"

  module_function

  def generate
    SecureRandom.alphanumeric(24)
  end

  def hash(password, salt = SecureRandom.bytes(4))
    [salt + OpenSSL::Digest::SHA256.digest(salt + password.b)].pack("m0")
  end

  def match?(password, hashed)
    salt = hashed.unpack1("m0").byteslice(0, 4)
    ActiveSupport::SecurityUtils.secure_compare(hash(password, salt), hashed)
  end
end

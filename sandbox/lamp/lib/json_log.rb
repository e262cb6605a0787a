require "json"
require "logger"
require "time"

# One JSON object per line. A Hash becomes fields; anything else becomes "msg".
class JsonLog < Logger::Formatter
  def self.logger(io)
    io.sync = true if io.respond_to?(:sync=)
    ActiveSupport::Logger.new(io).tap { |logger| logger.formatter = new }
  end

  def call(severity, time, _program, message)
    fields = { time: time.utc.iso8601(3), level: severity.downcase }
    fields.merge!(Thread.current[:sidekiq_context] || {})
    fields.merge!(message.is_a?(Hash) ? message : { msg: text(message) })
    "#{JSON.generate(fields)}\n"
  rescue JSON::GeneratorError, EncodingError
    "#{JSON.generate(level: severity.downcase, msg: message.inspect.encode("UTF-8", invalid: :replace, undef: :replace).scrub)}\n"
  end

  private

  def text(message)
    message = "#{message.class}: #{message.message}\n#{message.backtrace&.first(10)&.join("\n")}" if message.is_a?(Exception)
    message.to_s.dup.force_encoding(Encoding::UTF_8).scrub
  end
end

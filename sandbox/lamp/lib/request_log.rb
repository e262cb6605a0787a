require_relative "measures"

# One line and one count per request, also for those that no controller sees (redirects, refused hosts, unknown paths).
class RequestLog
  QUIET = %r{\A/health/}
  # What a client calls its method is its own choice, and each would be a series.
  METHODS = %w[GET HEAD POST PUT PATCH DELETE OPTIONS].freeze

  def initialize(app)
    @app = app
  end

  def call(env)
    started = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    status, headers, body = @app.call(env)
    seconds = Process.clock_gettime(Process::CLOCK_MONOTONIC) - started
    count(env, status, seconds)
    write(env, status, seconds)
    [status, headers, body]
  end

  private

  def count(env, status, seconds)
    return if QUIET.match?(env["PATH_INFO"])

    method = METHODS.include?(env["REQUEST_METHOD"]) ? env["REQUEST_METHOD"] : "other"
    controller = env["action_dispatch.request.path_parameters"]&.fetch(:controller, nil) || "none"
    Measures::REQUESTS.add(method:, status:, controller:)
    Measures::REQUEST_SECONDS.observe(seconds, method:, controller:)
  end

  def write(env, status, seconds)
    return if status == 200 && QUIET.match?(env["PATH_INFO"])

    Rails.logger.info(msg: "request", method: env["REQUEST_METHOD"], path: env["PATH_INFO"], status:, ms: (seconds * 1000).round(1),
                      ip: address(env), request_id: env["action_dispatch.request_id"])
  end

  def address(env)
    ActionDispatch::Request.new(env).remote_ip
  rescue ActionDispatch::RemoteIp::IpSpoofAttackError
    "spoofed"
  end
end

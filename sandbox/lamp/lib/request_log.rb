# One line per request, also for those that no controller sees (redirects, refused hosts, unknown paths).
class RequestLog
  QUIET = %r{\A/health/}

  def initialize(app)
    @app = app
  end

  def call(env)
    started = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    status, headers, body = @app.call(env)
    write(env, status, started)
    [status, headers, body]
  end

  private

  def write(env, status, started)
    return if status == 200 && QUIET.match?(env["PATH_INFO"])

    ms = ((Process.clock_gettime(Process::CLOCK_MONOTONIC) - started) * 1000).round(1)
    Rails.logger.info(msg: "request", method: env["REQUEST_METHOD"], path: env["PATH_INFO"], status:, ms:,
                      ip: address(env), request_id: env["action_dispatch.request_id"])
  end

  def address(env)
    ActionDispatch::Request.new(env).remote_ip
  rescue ActionDispatch::RemoteIp::IpSpoofAttackError
    "spoofed"
  end
end

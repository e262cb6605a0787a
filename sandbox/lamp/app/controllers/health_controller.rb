# Live says that this process answers, and asks nobody else: a database outage must not restart the web.
# Ready says that a request would succeed.
class HealthController < ActionController::API
  def live
    render json: { status: "ok" }
  end

  def ready
    return render json: { status: "ok" } if Schema.current?

    render json: { status: "migrations pending" }, status: :service_unavailable
  rescue ActiveRecord::ActiveRecordError => error
    DatabaseTrouble.forget_connections
    render json: { status: "database away", error: error.class.name }, status: :service_unavailable
  end
end

module Api
  class AlertsController < BaseController
    def index
      render json: { alerts: page(wanted) }
    end

    # 404 until somebody is told of the event, then the alert: what the canary asks for, as a carer's app would.
    def of_event
      alert = account.alerts.includes(:event, :lamp).find_by(event: { uuid: params[:event_id].to_s })
      alert ? render(json: alert) : missing
    end

    def acknowledge
      alert = account.alerts.find_by(id: params[:id])
      return missing unless alert

      render json: alert.acknowledge
      Rails.logger.info(msg: "alert acknowledged", alert: alert.id)
    end

    private

    def wanted
      alerts = account.alerts.includes(:event, :lamp)
      alerts = alerts.where(state: params[:state].to_s) if params[:state].present?
      alerts = alerts.where(event: { uuid: params[:event_id].to_s }) if params[:event_id].present?
      alerts
    end
  end
end

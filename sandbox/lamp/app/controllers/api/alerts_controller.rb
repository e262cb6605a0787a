module Api
  class AlertsController < BaseController
    def index
      render json: { alerts: page(wanted) }
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

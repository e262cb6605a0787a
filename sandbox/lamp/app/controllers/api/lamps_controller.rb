module Api
  class LampsController < BaseController
    def index
      lamps = page(account.lamps).map do |lamp|
        { id: lamp.id, serial: lamp.serial, ready: lamp.broker_synced_at.present? }
      end
      render json: { lamps: }
    end
  end
end

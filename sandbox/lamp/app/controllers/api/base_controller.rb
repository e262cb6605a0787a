module Api
  class BaseController < ActionController::API
    include ActionController::HttpAuthentication::Token::ControllerMethods

    DEFAULT_LIMIT = 50
    MAX_LIMIT = 200

    rescue_from ActiveRecord::ConnectionNotEstablished, ActiveRecord::StatementInvalid, with: :unavailable
    before_action :authenticate

    def missing
      render json: { error: "not found" }, status: :not_found
    end

    private

    attr_reader :account

    def authenticate
      @account = authenticate_with_http_token { |token, _options| Account.authenticate(token) }
      return if @account

      response.set_header("WWW-Authenticate", 'Bearer realm="api"')
      render json: { error: "unauthorized" }, status: :unauthorized
    end

    # Newest first; +before+ is the last id of the page before.
    def page(records)
      records = records.where(id: ...params[:before].to_i) if params[:before].present?
      records.order(id: :desc).limit(limit)
    end

    def limit
      params.fetch(:limit, DEFAULT_LIMIT).to_s.to_i.clamp(1, MAX_LIMIT)
    end

    # A primary that became a replica keeps old connections open: give them up, so the next request finds the new one.
    def unavailable(error)
      raise error unless DatabaseTrouble.away?(error)

      DatabaseTrouble.forget_connections
      Rails.logger.warn(msg: "database away", error: error.class.name)
      response.set_header("Retry-After", "2")
      render json: { error: "temporarily unavailable" }, status: :service_unavailable
    end
  end
end

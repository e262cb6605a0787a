class AdminController < ActionController::Base
  USER = "admin"
  SEARCH_LIMIT = 50
  SEARCH_PATIENCE = 3

  before_action :authenticate

  def index
    @counts = Event.of_people.where(received_at: 24.hours.ago..).group(:kind).count
    @flawed_falls = Event.of_people.where(received_at: 24.hours.ago.., kind: Event::FALL).where.not(flaw: nil).count
    @alerts = Alert.of_people.includes(:event, :lamp).where.not(state: Alert::ACKNOWLEDGED).newest.limit(50)
    @open_alerts = Alert.of_people.where(state: Alert::OPEN).count
    @events = Event.of_people.includes(:lamp).newest.limit(50)
    @lamps = Lamp.where(canary: false).includes(:account).order(:id).limit(50)
    @lamp_count = Lamp.where(canary: false).count
    @canary_seen = Alert.where(lamp_id: Lamp.canary.select(:id)).maximum(:raised_at)
  end

  # In the search engine, and with little patience: it is nobody's emergency when that is away.
  def search
    @query, @from, @to = params[:q].to_s, time(:from), time(:to)
    return @trouble = "This installation has no search engine." unless SearchEngine.there?

    @found = EventIndex.new(SearchEngine.new(patience: SEARCH_PATIENCE, reach: 1)).search(@query, from: @from, to: @to, limit: SEARCH_LIMIT)
  rescue SearchEngine::Away, SearchEngine::Throttled, SearchEngine::Refused => error
    Rails.logger.warn(msg: "search failed", error: error.class.name, reason: error.message.truncate(300))
    @trouble = error.is_a?(SearchEngine::Refused) ? "The search engine refused the question." : "The search engine is away. Alerts do not need it."
    render status: :service_unavailable
  end

  private

  # As a browser writes a time, read as UTC; one that makes no sense is none.
  def time(name)
    Time.find_zone("UTC").iso8601(params[name].to_s)
  rescue ArgumentError
    nil
  end

  def authenticate
    expected = Setting.text("ADMIN_PASSWORD", "")
    authenticate_or_request_with_http_basic("Lamplight") do |user, password|
      # Both are compared, always, and an installation without a password lets nobody in.
      [expected.present?, same?(user, USER), same?(password, expected)].all?
    end
  end

  def same?(given, expected)
    ActiveSupport::SecurityUtils.secure_compare(given.to_s, expected)
  end
end

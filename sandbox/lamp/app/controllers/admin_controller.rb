class AdminController < ActionController::Base
  USER = "admin"

  before_action :authenticate

  def index
    @counts = Event.where(received_at: 24.hours.ago..).group(:kind).count
    @flawed_falls = Event.where(received_at: 24.hours.ago.., kind: Event::FALL).where.not(flaw: nil).count
    @alerts = Alert.includes(:event, :lamp).where.not(state: Alert::ACKNOWLEDGED).newest.limit(50)
    @open_alerts = Alert.where(state: Alert::OPEN).count
    @events = Event.includes(:lamp).newest.limit(50)
    @lamps = Lamp.includes(:account).order(:id).limit(50)
    @lamp_count = Lamp.count
  end

  private

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

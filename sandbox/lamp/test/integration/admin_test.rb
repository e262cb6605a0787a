class AdminTest < ActionDispatch::IntegrationTest
  def visit(user = "admin", password = ENV.fetch("ADMIN_PASSWORD"))
    get "/admin", headers: { "Authorization" => "Basic #{["#{user}:#{password}"].pack("m0")}" }
    response
  end

  test "only the admin with the password gets in" do
    assert_equal [401, 401, 401], [visit("admin", "wrong"), visit("root"), visit("admin", "")].map(&:status)
    assert_equal 200, visit.status
  end

  test "without a password nobody gets in" do
    was = ENV.delete("ADMIN_PASSWORD")
    assert_equal 401, visit("admin", "").status
  ensure
    ENV["ADMIN_PASSWORD"] = was
  end

  test "it shows lamps, alerts, events and counts, and escapes what lamps send" do
    open_alert
    Intake.new.store([heard("<script>alert(1)</script>\xFF".b), heard("{}", serial: "nobody"), heard("{", kind: "x")])
    page = visit.body
    counts = %w[open-alerts falls flawed-falls malformed unknown lamps].map { |id| page[/id="#{id}"[^>]*>(\d+)/, 1].to_i }
    assert_equal [1, 2, 1, 1, 1, 1], counts
    refute_includes page, "<script>alert"
  end
end

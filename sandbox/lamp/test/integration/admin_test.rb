class AdminTest < ActionDispatch::IntegrationTest
  include Engine

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

  def ask(**question)
    get "/admin/search", params: question, headers: { "Authorization" => "Basic #{["admin:#{ENV.fetch("ADMIN_PASSWORD")}"].pack("m0")}" }
    response.body[/id="found">([^<]+)/, 1] || response.body[/id="trouble"[^>]*>([^<]+)/, 1]
  end

  test "what the canary does is not among people's alerts and events" do
    event = stored_fall(lamp: canary)
    Alert.raise_for([event.id])
    page = visit.body
    assert_equal [0, 0, 0], %w[open-alerts falls lamps].map { |id| page[/id="#{id}"[^>]*>(\d+)/, 1].to_i }
    assert_includes page, "canary's last fall was alerted at"
    refute_includes page, event.uuid
  end

  test "a search finds events by their words and within a time" do
    empty_engine
    Intake.new.store([heard({ id: SecureRandom.uuid, at: Time.now.utc.iso8601, room: "Kitchen" }, serial: lamp.serial), fall(serial: lamp("lamp-2").serial),
                      heard("{}", serial: "<b>nobody</b>")])
    stored_fall(received_at: 3.days.ago)
    index_all
    indexed
    assert_equal ["1 found", "1 found", "4 found", "0 found"], [ask(q: "kitchen"), ask(q: "lamp-2"), ask, ask(q: "bathroom")]
    assert_equal ["3 found", "1 found"], [ask(from: 1.day.ago.strftime("%Y-%m-%dT%H:%M")), ask(to: 1.day.ago.strftime("%Y-%m-%dT%H:%M"))]
    assert_equal "4 found", ask(from: "nonsense"), "a time that makes no sense is none"
    assert_equal "1 found", ask(q: "nobody (")
    refute_includes response.body, "<b>nobody"
  end

  test "a search engine that is away is said to be, soon, and one that there is not too" do
    was = ENV.fetch("ELASTICSEARCH_URL")
    ENV["ELASTICSEARCH_URL"] = "http://127.0.0.1:1"
    assert_equal "The search engine is away. Alerts do not need it.", ask(q: "x")
    assert_equal 503, response.status
    proxy, ENV["ELASTICSEARCH_URL"] = FlakyProxy.before(was, 9200)
    proxy.freeze_line
    started = Time.now
    assert_match(/away/, ask(q: "x"))
    assert_operator Time.now - started, :<, 5
    ENV.delete("ELASTICSEARCH_URL")
    assert_equal "This installation has no search engine.", ask(q: "x")
  ensure
    ENV["ELASTICSEARCH_URL"] = was
    proxy&.cut
  end
end

class ApiTest < ActionDispatch::IntegrationTest
  def headers(token = TOKEN) = { "Authorization" => "Bearer #{token}" }
  def body = JSON.parse(response.body)

  def fetch(path, verb: :get, token: TOKEN)
    public_send(verb, path, headers: headers(token))
    [response.status, body]
  end

  test "without a good token there is nothing to see" do
    account
    ["Bearer wrong", "Bearer", "Basic #{TOKEN}", nil].each do |header|
      get "/api/alerts", headers: { "Authorization" => header }.compact
      assert_equal [401, { "error" => "unauthorized" }], [response.status, body]
      assert response.headers["WWW-Authenticate"].start_with?("Bearer")
    end
  end

  test "an account sees its lamps and not another's" do
    lamp("mine")
    lamp("theirs", owner: account(name: "others", token: "t2"))
    assert_equal [200, ["mine"]], fetch("/api/lamps").then { |status, json| [status, json["lamps"].pluck("serial")] }
  end

  test "an event's alert is found by the event, once somebody is told" do
    event = stored_fall
    path = "/api/events/#{event.uuid}/alert"
    assert_equal [404, { "error" => "not found" }], fetch(path)
    Alert.raise_for([event.id])
    assert_equal [200, event.uuid], fetch(path).then { |status, json| [status, json["event_id"]] }
    account(name: "others", token: "t2")
    assert_equal [404, 401], [fetch(path, token: "t2").first, fetch(path, token: "t3").first]
    assert_equal 404, fetch("/api/events/not-a-uuid/alert").first
  end

  test "an alert tells what the app shows" do
    alert = open_alert
    json = fetch("/api/alerts").last["alerts"].sole
    assert_equal({ "id" => alert.id, "event_id" => alert.event.uuid, "lamp" => "lamp-1", "state" => "open",
                   "acknowledged_at" => nil, "escalated_at" => nil },
                 json.slice("id", "event_id", "lamp", "state", "acknowledged_at", "escalated_at"))
    %w[raised_at occurred_at received_at].each { |name| assert Time.iso8601(json[name]) }
  end

  test "alerts are found by their event's id and by state" do
    one = open_alert
    open_alert.acknowledge
    assert_equal [one.id], fetch("/api/alerts?event_id=#{one.event.uuid}").last["alerts"].pluck("id")
    assert_equal [one.id], fetch("/api/alerts?state=open").last["alerts"].pluck("id")
    ["event_id=#{SecureRandom.uuid}", "event_id=nonsense", "event_id[]=x", "state=nonsense"].each do |query|
      assert_equal [200, { "alerts" => [] }], fetch("/api/alerts?#{query}"), query
    end
  end

  test "pages are bounded, newest first" do
    alerts = Array.new(3) { open_alert }
    assert_equal alerts.last(2).reverse.map(&:id), fetch("/api/alerts?limit=2").last["alerts"].pluck("id")
    assert_equal [alerts.first.id], fetch("/api/alerts?before=#{alerts[1].id}").last["alerts"].pluck("id")
    %w[0 -1 x 999999999999 99999999999999999999999].each { |limit| assert_equal 200, fetch("/api/alerts?limit=#{limit}").first }
    assert_equal 200, fetch("/api/alerts?before=99999999999999999999999").first
  end

  test "acknowledging is final and may be repeated" do
    alert = open_alert
    2.times { assert_equal [200, "acknowledged"], fetch("/api/alerts/#{alert.id}/acknowledge", verb: :post).then { |s, j| [s, j["state"]] } }
  end

  test "another account's alert is not found" do
    account
    theirs = open_alert(lamp: lamp("theirs", owner: account(name: "others", token: "t2")))
    assert_empty fetch("/api/alerts").last["alerts"]
    [theirs.id, 0, "x", 10**30].each do |id|
      assert_equal [404, { "error" => "not found" }], fetch("/api/alerts/#{id}/acknowledge", verb: :post)
    end
    assert_equal "open", theirs.reload.state
  end

  test "unknown paths are JSON errors" do
    account
    ["/api/nothing", "/nothing"].each { |path| assert_equal [404, { "error" => "not found" }], fetch(path) }
  end
end

class LampMessageTest < ActiveSupport::TestCase
  ID = Payloads::ID
  NOW = Payloads::NOW

  Payloads::FLAWS.each_with_index do |(template, flaw), index|
    payload = template.gsub("%{id}", ID)

    test "payload #{index} (#{payload[0, 40].inspect}) is #{flaw || "sound"}" do
      attributes = heard(payload, received_at: NOW).attributes(7)
      assert_equal [flaw, "fall"].inspect, attributes.values_at(:flaw, :kind).inspect
      assert_match LampMessage::UUID, attributes[:uuid]
    end
  end

  test "a sound message keeps its id in lower case, its time and its words" do
    attributes = heard(%({"id":"#{ID.upcase}","at":"2026-03-01T11:00:00Z"}), received_at: NOW).attributes(7)
    assert_equal [ID, Time.utc(2026, 3, 1, 11), nil], attributes.values_at(:uuid, :occurred_at, :raw)
    assert_equal "lamps/lamp-1/fall", attributes[:topic]
  end

  test "a flawed fall keeps its id when that is sound" do
    assert_equal ID, heard(%({"id":"#{ID}"})).attributes(7)[:uuid]
  end

  test "raw content is cut" do
    assert_equal LampMessage::RAW_LIMIT, heard("x" * 1_000_000).attributes(7)[:raw].bytesize
  end

  test "a redelivery of a message without id has the same id when the broker stamps it" do
    ids = Array.new(2) { |n| heard("{}", stamp: "1700000000001", received_at: NOW + n).uuid }
    assert_equal 1, ids.uniq.size
  end

  test "a second fall with the same broken words has another id" do
    refute_equal heard("{}", stamp: "1").uuid, heard("{}", stamp: "2").uuid
    refute_equal heard("{}", received_at: NOW).uuid, heard("{}", received_at: NOW + 1).uuid
  end

  test "another kind of message is unknown, and malformed when it cannot be read" do
    assert_equal "unknown", heard({ id: ID, at: NOW.iso8601 }, kind: "status", received_at: NOW).attributes(7)[:kind]
    assert_equal "malformed", heard("{", kind: "status").attributes(7)[:kind]
  end

  test "messages of unknown lamps and topics are unknown" do
    assert_equal %w[unknown unknown_lamp], fall.attributes(nil).values_at(:kind, :flaw)
    stray = LampMessage.new(routing_key: "\xFFother\0", payload: "{}").attributes(nil)
    assert_equal %w[unknown unknown_topic ?other?], stray.values_at(:kind, :flaw, :topic)
  end
end

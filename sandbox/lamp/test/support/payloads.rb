module Payloads
  ID = "0b0e7f9a-5f0e-4a61-9d5e-0c5a1f2b3c4d"
  NOW = Time.utc(2026, 3, 1, 12)

  # What a lamp may say in a fall, and what is found wrong with it.
  FLAWS = {
    '{"id":"%{id}","at":"2026-03-01T11:59:58Z"}' => nil,
    '{"id":"%{id}","at":"2026-03-01T12:59:58.123+01:00","battery":80}' => nil,
    "" => "invalid_json",
    "nonsense" => "invalid_json",
    "{" => "invalid_json",
    '{"id":NaN}' => "invalid_json",
    ("[" * 100) => "invalid_json",
    "\xFF\xFE\x00binary".b => "invalid_utf8",
    "\0" => "invalid_json",
    "null" => "not_an_object",
    "42" => "not_an_object",
    '["id"]' => "not_an_object",
    "{}" => "missing_id",
    '{"at":"2026-03-01T11:59:58Z"}' => "missing_id",
    '{"id":null}' => "invalid_id",
    '{"id":42}' => "invalid_id",
    '{"id":{"a":1}}' => "invalid_id",
    '{"id":"not-a-uuid"}' => "invalid_id",
    '{"id":"%{id}\nx"}' => "invalid_id",
    '{"id":"%{id}"}' => "invalid_time",
    '{"id":"%{id}","at":17}' => "invalid_time",
    '{"id":"%{id}","at":"yesterday"}' => "invalid_time",
    '{"id":"%{id}","at":"2031-01-01T00:00:00Z"}' => "invalid_time",
    '{"id":"%{id}","at":"0001-01-01T00:00:00Z"}' => "invalid_time",
    '{"id":"%{id}","at":"999999999-01-01T00:00:00Z"}' => "invalid_time",
    '{"id":"%{id}","at":"2026-03-01T12:00:00Z","x":"\u0000"}' => "unstorable",
    '{"id":"%{id}","at":"2026-03-01T12:00:00Z","x":"\ud800"}' => "invalid_json",
    '{"id":"%{id}","at":"2026-03-01T12:00:00Z","x":1e999}' => "unstorable",
    %({"id":"%{id}","at":"2026-03-01T12:00:00Z","x":"#{"a" * 1_000_000}"}) => "too_large",
  }.freeze

  # All of them, each with an id of its own.
  def self.fresh
    FLAWS.keys.map { |template| template.gsub("%{id}") { SecureRandom.uuid } }
  end
end

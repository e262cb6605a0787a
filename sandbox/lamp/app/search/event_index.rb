# The events in the search engine: an index for each day (UTC) of arrival, a document for each event. A document's name
# comes from the event alone, so that indexing one again changes nothing.
class EventIndex
  NAME = "events"
  DAY = /\Aevents-(\d{4})\.(\d{2})\.(\d{2})\z/
  # What is wrong with a document, and will still be wrong tomorrow. Everything else may pass.
  HOPELESS = %w[mapper_parsing_exception document_parsing_exception strict_dynamic_mapping_exception].freeze
  WORD = { type: "keyword", ignore_above: 1024 }.freeze

  TEMPLATE = {
    index_patterns: ["#{NAME}-*"],
    priority: 500,
    template: {
      settings: { number_of_shards: 1, auto_expand_replicas: "0-1", refresh_interval: "1s" },
      mappings: {
        # A field that nobody foresaw is a mistake here. What lamps say is text, whatever its form: no two of them can clash.
        dynamic: "strict",
        properties: {
          event: WORD, serial: WORD, kind: WORD, flaw: WORD, topic: { type: "text" }, content: { type: "text" },
          occurred_at: { type: "date" }, received_at: { type: "date" }
        },
      },
    },
  }.freeze

  # The outcome of a bulk request: what is in, what never will be, and what to send again.
  Outcome = Data.define(:taken, :hopeless, :again, :reason)

  def initialize(engine = SearchEngine.new)
    @engine = engine
  end

  # Safe to repeat. Without it the first event would choose the types of all.
  def prepare
    @engine.call(:put, "/_index_template/#{NAME}", TEMPLATE)
  end

  # +documents+ are Documents.
  def put(documents)
    answer = @engine.call(:post, "/_bulk?filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason",
                          documents.map(&:lines).join, type: "application/x-ndjson")
    return Outcome.new(documents.size, [], [], nil) unless answer["errors"]

    outcome(documents, answer["items"].map { |item| item.values.first })
  end

  # Deletes the days before +first+ and returns their names.
  def delete_before(first)
    names = @engine.call(:get, "/#{NAME}-*?filter_path=*.aliases").keys
    old = names.select { |name| (day = self.class.day(name)) && day < first }
    old.each { |name| @engine.call(:delete, "/#{name}") }
  end

  # The newest events that match: hashes with the documents' fields as symbols.
  def search(query, from: nil, to: nil, limit: 50)
    must = query.blank? ? { match_all: {} } : { simple_query_string: { query:, default_operator: "and" } }
    range = { gte: from&.utc&.iso8601, lte: to&.utc&.iso8601 }.compact
    body = { size: limit, timeout: "2s", sort: [{ received_at: "desc" }],
             query: { bool: { must: [must], filter: range.empty? ? [] : [{ range: { received_at: range } }] } } }
    found = @engine.call(:post, "/#{NAME}-*/_search?ignore_unavailable=true&filter_path=hits.hits._source", body)
    (found.dig("hits", "hits") || []).map { |hit| hit["_source"].transform_keys(&:to_sym) }
  end

  def self.day(name)
    match = DAY.match(name) or return
    Date.new(*match.captures.map(&:to_i))
  rescue Date::Error
    nil
  end

  private

  def outcome(documents, items)
    hopeless, again, reason = [], [], nil
    documents.zip(items).each do |document, item|
      next if item["status"] < 300

      error = item["error"] || {}
      (HOPELESS.include?(error["type"]) ? hopeless : again) << document
      reason ||= "#{item["status"]} #{error["type"]}: #{error["reason"]}".truncate(300)
    end
    Outcome.new(documents.size - hopeless.size - again.size, hopeless, again, reason)
  end
end

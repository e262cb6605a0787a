# Events as the search engine is given them, read straight from the table: at tens of thousands a minute an object for
# each would cost more than the search engine does.
class EventDocuments
  CONTENT_LIMIT = 16 * 1024
  Document = Data.define(:id, :lines)
  # +last+ is the largest id that was read, also of what is not indexed: the canary's falls, and days beyond the retention.
  Batch = Data.define(:documents, :last, :oldest)

  # By its own name the payload would be read into objects again.
  COLUMNS = ["events.id", *%w[lamp_id uuid kind flaw topic], "payload::text AS words", *%w[raw occurred_at received_at serial canary]].freeze

  # Up to +limit+ events after +position+, none after +final+.
  def self.read(position:, final:, limit:, since:)
    rows = Event.left_joins(:lamp).where(id: (position + 1)..final).order(:id).limit(limit)
                .pluck(*COLUMNS.map { |column| Arel.sql(column) })
    wanted = rows.reject { |row| row[11] || row[9] < since }
    Batch.new(wanted.map { |row| document(*row) }, rows.last&.first, wanted.first&.at(9))
  end

  def self.document(id, lamp_id, uuid, kind, flaw, topic, words, raw, occurred_at, received_at, serial, _canary)
    name = JSON.generate({ index: { _index: "#{EventIndex::NAME}-#{received_at.utc.strftime("%Y.%m.%d")}", _id: "#{lamp_id || 0}-#{uuid}" } })
    source = JSON.generate({ event: uuid, serial:, kind:, flaw:, topic:, content: words || readable(raw),
                             occurred_at: occurred_at&.utc&.iso8601(3), received_at: received_at.utc.iso8601(3) })
    Document.new(id, "#{name}\n#{source}\n")
  end

  def self.readable(raw)
    raw.to_s.byteslice(0, CONTENT_LIMIT).dup.force_encoding(Encoding::UTF_8).scrub("?")
  end
end

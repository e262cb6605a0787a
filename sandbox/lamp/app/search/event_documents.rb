# Events as the search engine is given them. The database writes them: an object for each, or a time read and written
# again, would hold up the thread that talks to the search engine, for longer than that takes to index it.
class EventDocuments
  CONTENT_LIMIT = 16 * 1024
  Document = Data.define(:id, :lines)
  # +last+ is the largest id that was read, also of what is not indexed: the canary's falls, and days beyond the retention.
  Batch = Data.define(:documents, :last, :oldest)

  TIME = %('YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
  SELECT = <<~SQL.squish
    SELECT events.id, coalesce(canary, false), extract(epoch FROM received_at)::float8,
      json_build_object('index', json_build_object('_index', '#{EventIndex::NAME}-' || to_char(received_at, 'YYYY.MM.DD'),
        '_id', coalesce(lamp_id, 0) || '-' || uuid))::text,
      json_build_object('event', uuid, 'serial', serial, 'kind', kind, 'flaw', flaw, 'topic', topic, 'content', payload::text,
        'occurred_at', to_char(occurred_at, #{TIME}), 'received_at', to_char(received_at, #{TIME}))::text,
      CASE WHEN payload IS NULL THEN encode(substring(raw FROM 1 FOR #{CONTENT_LIMIT}), 'base64') END
  SQL

  # Up to +limit+ events after +position+, none after +final+.
  def self.read(position:, final:, limit:, since:)
    rows = Event.connection.select_rows(query(position, final, limit))
    wanted = rows.reject { |_id, canary, received, *| canary || received < since.to_f }
    oldest = wanted.first&.at(2)
    Batch.new(wanted.map { |id, _, _, name, source, raw| document(id, name, source, raw) }, rows.last&.first, oldest && Time.at(oldest))
  end

  # The page comes first: where statistics are old, the database would write all that is left as JSON, and sort that, for each page.
  def self.query(position, final, limit)
    page = "SELECT * FROM events WHERE id > #{Integer(position)} AND id <= #{Integer(final)} ORDER BY id LIMIT #{Integer(limit)}"
    "#{SELECT} FROM (#{page}) AS events LEFT JOIN lamps ON lamps.id = lamp_id ORDER BY events.id"
  end

  # What could not be read is told as far as it is text.
  def self.document(id, name, source, raw)
    source = JSON.generate(JSON.parse(source).merge("content" => readable(raw))) if raw
    Document.new(id, "#{name}\n#{source}\n")
  end

  def self.readable(raw)
    raw.unpack1("m").force_encoding(Encoding::UTF_8).scrub("?")
  end
end

# The tests' search engine, emptied, and what a search finds in it.
module Engine
  INDICES = "events-*"

  def engine
    @engine ||= SearchEngine.new
  end

  def empty_engine
    engine.call(:get, "/#{INDICES}?filter_path=*.aliases").each_key { |name| engine.call(:delete, "/#{name}") }
    engine.call(:delete, "/_index_template/events")
  rescue SearchEngine::Refused => error
    raise unless error.code == 404
  end

  def indexed(query = "")
    engine.call(:post, "/#{INDICES}/_refresh")
    EventIndex.new(engine).search(query, limit: 1000)
  end

  def events_in_engine
    indexed.map { |event| event[:event] }.sort
  end

  # Without waiting between rounds, until nothing is left; a running transaction may hold it up.
  def index_all(indexer = Indexer.new)
    eventually(within: 20) { indexer.step && Cursor.position(Indexer::CURSOR) == Event.maximum(:id).to_i }
  end
end

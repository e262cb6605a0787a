# bin/indexer as a process.
class IndexerProcessTest < ActiveSupport::TestCase
  include Engine

  setup do
    empty_engine
    @processes = []
  end

  teardown do
    @processes.each { |process| puts process.log } unless passed?
    @processes.each(&:stop)
  end

  def indexer(**environment)
    ConsumerProcess.new("bin/indexer", **environment).tap { |process| @processes << process }
  end

  test "two of them index everything once, and SIGTERM ends them" do
    first = indexer(METRICS_PORT: "9401")
    indexer(INDEX_BATCH: "10")
    30.times { stored_fall }
    eventually(within: 30) { events_in_engine.size == 30 rescue false }
    stored_fall
    eventually(within: 10) { events_in_engine.size == 31 }
    text = Net::HTTP.get(URI("http://127.0.0.1:9401/metrics"))
    assert_match(/^app_index_enabled 1$/, text)
    assert_match(/^app_index_lag_seconds \d/, text)
    assert_match(/^app_index_indexed_total \d/, text)
    assert_match(/^app_index_failures_total\{reason="away"\} 0$/, text)
    assert_predicate first.terminate.last, :success?
  end

  test "without a search engine it idles instead of crashing" do
    process = indexer(ELASTICSEARCH_URL: "", METRICS_PORT: "9402")
    eventually { process.lines("no ELASTICSEARCH_URL: nothing to do").any? }
    assert_match(/^app_index_enabled 0$/, Net::HTTP.get(URI("http://127.0.0.1:9402/metrics")))
    seconds, status = process.terminate
    assert_predicate status, :success?
    assert_operator seconds, :<, 5
  end
end

class MetricsTest < ActiveSupport::TestCase
  # Series of the tests' own; they are told with all others, and nobody looks at them.
  COUNTER = Metrics.counter("test_total", "A counter.")
  HISTOGRAM = Metrics.histogram("test_seconds", "A histogram.")

  setup { [COUNTER, HISTOGRAM].each(&:clear) }

  def lines(text)
    text.lines(chomp: true).grep(/^test_/)
  end

  test "a counter is told with its labels, escaped, and from 0 once it is initialised" do
    assert_empty lines(Metrics.text(Metrics.snapshot))
    COUNTER.init(kind: "a")
    COUNTER.add(2, kind: %(b"\\\n))
    assert_equal ['test_total{kind="a"} 0', 'test_total{kind="b\\"\\\\\\n"} 2'], lines(Metrics.text(Metrics.snapshot))
  end

  test "a histogram counts cumulatively" do
    [0.003, 0.2, 0.2, 99].each { |seconds| HISTOGRAM.observe(seconds, a: 1) }
    told = lines(Metrics.text(Metrics.snapshot)).to_h { |line| line.split }
    limits = %w[0.005 0.1 0.25 10 +Inf].map { |limit| told[%(test_seconds_bucket{a="1",le="#{limit}"})] }
    assert_equal %w[1 1 3 3 4], limits
    assert_equal %w[4 99.403], [told['test_seconds_count{a="1"}'], told['test_seconds_sum{a="1"}']]
  end

  test "several processes are told as one" do
    COUNTER.add(1, a: 1)
    HISTOGRAM.observe(1)
    one = Metrics.snapshot
    COUNTER.add(1, a: 2)
    told = lines(Metrics.text(one, Metrics.snapshot))
    assert_includes told, 'test_total{a="1"} 2'
    assert_includes told, 'test_total{a="2"} 1'
    assert_includes told, "test_seconds_count 2"
  end

  test "the process is told by the kernel" do
    figures = ProcessFigures.new.read
    assert_operator figures["process_resident_memory_bytes"], :>, 20 << 20
    assert_operator figures["process_start_time_seconds"], :>, 1.hour.ago.to_f
    assert_equal Measures::PROCESS.keys.sort, figures.keys.sort
  end

  test "a client that says nothing holds up nobody for long, and other paths are not found" do
    server = MetricsServer.new(9403).start
    silent = TCPSocket.new("127.0.0.1", 9403)
    assert_equal "200", Net::HTTP.get_response(URI("http://127.0.0.1:9403/metrics")).code
    assert_equal "404", Net::HTTP.get_response(URI("http://127.0.0.1:9403/")).code
  ensure
    silent&.close
    server&.stop
  end
end

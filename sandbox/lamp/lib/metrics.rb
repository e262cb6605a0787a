# Counters, gauges and histograms of one process, and how they are written for Prometheus. Debian has no client library
# that serves several processes without a C extension of its own kind, and this is all that is needed of one.
module Metrics
  BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10].freeze

  # A number for each set of labels. One that nobody has touched or initialised is not shown.
  class Series
    attr_reader :name, :type, :help

    def initialize(name, type, help)
      @name = name
      @type = type
      @help = help
      @values = {}
      @mutex = Mutex.new
    end

    # So that the first increase can be seen: a series that appears with 1 has none.
    def init(**labels)
      update(labels) { |value| value || blank }
    end

    def snapshot
      @mutex.synchronize { @values.transform_values(&:dup) }
    end

    # Lines of the text format for +values+, by labels.
    def lines(values)
      values.map { |labels, value| "#{name}#{Metrics.labels(labels)} #{value}" }
    end

    def merge(one, other)
      one + other
    end

    def clear
      @mutex.synchronize { @values.clear }
    end

    private

    def blank = 0

    def update(labels)
      @mutex.synchronize { @values[labels] = yield(@values[labels]) }
    end
  end

  class Counter < Series
    def add(by = 1, **labels)
      update(labels) { |value| (value || 0) + by }
    end
  end

  # A number that somebody sets, or a block that tells it when it is asked for.
  class Gauge < Series
    def set(value, **labels)
      update(labels) { value }
    end

    def tell(&block)
      @told = block
    end

    def snapshot
      value = @told&.call
      value.nil? ? super : { {} => value }
    end
  end

  class Histogram < Series
    def observe(seconds, **labels)
      update(labels) do |value|
        value ||= blank
        place = BUCKETS.index { |limit| seconds <= limit }
        value[place] += 1 if place
        value[-2] += seconds
        value[-1] += 1
        value
      end
    end

    def lines(values)
      values.flat_map do |labels, value|
        reached = 0
        buckets = BUCKETS.zip(value).map { |limit, count| line("bucket", { **labels, le: limit }, reached += count) }
        [*buckets, line("bucket", { **labels, le: "+Inf" }, value[-1]), line("sum", labels, value[-2]), line("count", labels, value[-1])]
      end
    end

    def merge(one, other)
      one.zip(other).map(&:sum)
    end

    private

    # A count for each bucket, then the sum and the number of all.
    def blank = [0] * (BUCKETS.size + 2)

    def line(suffix, labels, value)
      "#{name}_#{suffix}#{Metrics.labels(labels)} #{value}"
    end
  end

  @series = {}

  class << self
    def counter(name, help) = register(Counter.new(name, "counter", help))
    def gauge(name, help) = register(Gauge.new(name, "gauge", help))
    def histogram(name, help) = register(Histogram.new(name, "histogram", help))

    # What this process has counted, in a form that goes through a file.
    def snapshot
      @series.transform_values(&:snapshot)
    end

    # The text format of several processes' snapshots together.
    def text(*snapshots)
      @series.filter_map { |name, series| section(series, together(series, snapshots.filter_map { |one| one[name] })) }.join
    end

    def labels(labels)
      return "" if labels.empty?

      "{#{labels.map { |key, value| %(#{key}="#{value.to_s.gsub(/["\\\n]/, '"' => '\"', "\\" => "\\\\", "\n" => '\n')}") }.join(",")}}"
    end

    def clear
      @series.each_value(&:clear)
    end

    private

    def register(series)
      @series[series.name] = series
    end

    def together(series, values)
      values.reduce({}) { |sum, one| sum.merge(one) { |_labels, here, there| series.merge(here, there) } }
    end

    def section(series, values)
      return if values.empty?

      ["# HELP #{series.name} #{series.help}", "# TYPE #{series.name} #{series.type}", *series.lines(values), ""].join("\n")
    end
  end
end

# Reads what the environment says, and names the variable when it makes no sense.
module Setting
  module_function

  def text(name, default = nil)
    value = ENV[name].to_s
    return value unless value.empty?
    raise KeyError, "#{name} is not set" if default.nil?

    default
  end

  def number(name, default)
    Float(text(name, default.to_s)).then { |value| value % 1 == 0 ? value.to_i : value }
  rescue ArgumentError
    raise ArgumentError, "#{name} should be a number, and is #{ENV[name].inspect}"
  end

  def flag(name, default = false)
    %w[1 true yes on].include?(text(name, default.to_s).downcase)
  end

  def list(name)
    text(name, "").split(",").map(&:strip).reject(&:empty?)
  end

  # Database connections follow the threads of whichever process this is.
  def threads
    [number("RAILS_MAX_THREADS", 5), number("SIDEKIQ_CONCURRENCY", 0)].max
  end
end

require "csv"

# Takes up lamps from lines of "serial,password": rows here, accounts in the broker, both in slices.
class LampImport
  SLICE = 1000
  MIN_PASSWORD = 8

  Result = Data.define(:taken, :refused)

  def initialize(account, accounts: BrokerAccounts.new)
    @account = account
    @accounts = accounts
    @seen = Set.new
    @refused = []
    @taken = 0
  end

  # +lines+ yields strings; a line that is no good is named in the result and stops nobody else.
  def run(lines)
    lines.each.with_index(1).filter_map { |line, number| parse(line, number) }
         .each_slice(SLICE) { |slice| take(slice) }
    Result.new(taken: @taken, refused: @refused)
  end

  private

  def parse(line, number)
    return if line.strip.empty? || line.start_with?("#") || (number == 1 && line.strip == "serial,password")

    serial, password, *rest = CSV.parse_line(line.strip).map { |field| field.to_s.strip }
    reason = objection(serial, password, rest)
    return [number, serial, password] unless reason

    @refused << "line #{number}: #{reason}"
    nil
  rescue CSV::MalformedCSVError, ArgumentError
    @refused << "line #{number}: not readable as serial,password"
    nil
  end

  def objection(serial, password, rest)
    return "expected serial,password" if rest.any?
    return "serial #{serial.inspect} should be letters, digits, - and _ (at most 64)" unless Lamp::SERIAL.match?(serial)
    return "serial #{serial} is a name of the broker's own" if Lamp::RESERVED.match?(serial)
    return "password of #{serial} is shorter than #{MIN_PASSWORD}" if password.to_s.length < MIN_PASSWORD

    "serial #{serial} comes twice" unless @seen.add?(serial)
  end

  def take(slice)
    foreign = Lamp.where(serial: slice.map { _2 }).where.not(account: @account).pluck(:serial).to_set
    slice.each { |number, serial, _| @refused << "line #{number}: #{serial} belongs to another account" if foreign.include?(serial) }
    save(slice.reject { |_, serial, _| foreign.include?(serial) })
  end

  def save(slice)
    return if slice.empty?

    rows = slice.map do |_, serial, password|
      { account_id: @account.id, serial:, broker_password_hash: BrokerPassword.hash(password), broker_synced_at: nil }
    end
    Lamp.upsert_all(rows, unique_by: :serial, update_only: %i[broker_password_hash broker_synced_at])
    lamps = Lamp.where(serial: rows.pluck(:serial)).to_a
    @accounts.import(lamps)
    Lamp.where(id: lamps.map(&:id)).update_all(broker_synced_at: Time.current)
    @taken += lamps.size
  end
end

class LampImportTest < ActiveSupport::TestCase
  class Accounts
    attr_reader :imported

    def import(lamps) = (@imported ||= []).concat(lamps.map(&:serial))
  end

  setup { @accounts = Accounts.new }

  def import(*lines) = LampImport.new(account, accounts: @accounts).run(lines)

  test "lamps are taken up with their broker accounts" do
    result = import("serial,password\n", "a-1,password-1\n", "\n", "a-2,password-2")
    assert_equal [2, []], [result.taken, result.refused]
    assert_equal %w[a-1 a-2], @accounts.imported
    assert Lamp.find_by!(serial: "a-1").broker_password?("password-1")
    assert_equal 0, Lamp.where(broker_synced_at: nil).count
  end

  test "bad lines are named and stop nobody else" do
    lamp("theirs", owner: account(name: "others", token: "t2"))
    result = import("a.b,password-1", "ok,password-1", "short,x", "ok,password-2", "x,y,z", "none", "theirs,password-9", "\"")
    assert_equal 1, result.taken
    expected = { 1 => "serial \"a.b\" should be letters", 3 => "shorter than 8", 4 => "ok comes twice",
                 5 => "expected serial,password", 6 => "shorter than 8", 7 => "belongs to another", 8 => "not readable" }
    assert_equal expected.size, result.refused.size
    expected.each do |number, reason|
      assert(result.refused.any? { |line| line.start_with?("line #{number}: ") && line.include?(reason) }, reason)
    end
  end

  test "a lamp never gets the name of one of the broker's own users" do
    result = import("accounts,password-1", "monitor-2,password-1", "app,password-1", "apple,password-1")
    assert_equal [1, ["apple"]], [result.taken, @accounts.imported]
    assert_equal 3, result.refused.count { |line| line.include?("name of the broker's own") }
  end

  test "importing again changes the password" do
    import("a-1,password-1")
    import("a-1,password-2")
    assert Lamp.sole.broker_password?("password-2")
  end
end

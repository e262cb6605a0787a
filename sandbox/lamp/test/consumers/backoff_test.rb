class BackoffTest < ActiveSupport::TestCase
  test "waits grow, stay under the limit and start again" do
    backoff = Backoff.new(first: 0.2, limit: 2.0)
    waits = Array.new(20) { backoff.next }
    assert_operator waits.first, :<=, 0.2
    assert(waits.last(10).all? { |wait| wait.between?(1.0, 2.0) })
    backoff.reset
    assert_operator backoff.next, :<=, 0.2
  end
end

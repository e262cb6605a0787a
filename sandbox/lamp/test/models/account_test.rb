class AccountTest < ActiveSupport::TestCase
  test "a token finds its account and nothing else does" do
    assert_equal account, Account.authenticate(TOKEN)
    [nil, "", "x", account.api_token_digest, "#{TOKEN} "].each { |token| assert_nil Account.authenticate(token) }
  end

  test "the token itself is not stored" do
    refute_includes account.attributes.values.join, TOKEN
  end
end

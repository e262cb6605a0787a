class HealthTest < ActionDispatch::IntegrationTest
  setup { Schema.instance_variable_set(:@migrated, nil) }
  teardown { Schema.instance_variable_set(:@migrated, nil) }

  def status(path, **headers)
    get path, headers: headers.transform_keys(&:to_s)
    response.status
  end

  def pretend(object, name, value)
    original = object.method(name)
    object.define_singleton_method(name) { |*| value.respond_to?(:call) ? value.call : value }
    yield
  ensure
    object.define_singleton_method(name, original)
  end

  test "live and ready answer 200" do
    2.times { assert_equal [200, 200], [status("/health/live"), status("/health/ready")] }
  end

  test "pending migrations are not ready, and live is not asked" do
    ActiveRecord::Base.connection.execute("DELETE FROM schema_migrations WHERE version = '20260101000003'")
    assert_equal [200, 503], [status("/health/live"), status("/health/ready")]
  ensure
    ActiveRecord::Base.connection.execute("INSERT INTO schema_migrations VALUES ('20260101000003')")
  end

  test "a newer schema is ready: the old release serves on during a rollout" do
    ActiveRecord::Base.connection.execute("INSERT INTO schema_migrations VALUES ('20990101000000')")
    assert_equal 200, status("/health/ready")
  ensure
    ActiveRecord::Base.connection.execute("DELETE FROM schema_migrations WHERE version = '20990101000000'")
  end

  test "a database that is away is not ready, and live does not notice" do
    pretend(Schema, :current?, -> { raise ActiveRecord::ConnectionNotEstablished }) do
      assert_equal [200, 503], [status("/health/live"), status("/health/ready")]
    end
  end

  test "the API answers 503 while the database is away" do
    pretend(Account, :authenticate, -> { raise ActiveRecord::ConnectionFailed }) do
      assert_equal 503, status("/api/lamps", Authorization: "Bearer #{TOKEN}")
    end
    assert_equal "2", response.headers["Retry-After"]
  end
end

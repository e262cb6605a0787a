require_relative "../config/environment"
require "minitest/autorun"
require "active_support/test_case"
require "active_support/testing/time_helpers"
require "action_dispatch/testing/integration"
require "rails/test_unit/line_filtering"
require "sidekiq/api"
Dir[File.expand_path("support/*.rb", __dir__)].each { |file| require file }

$stdout.sync = true
# A test that waits for ever would say nothing: long after the last should have ended, every thread says where it stands.
Thread.new do
  sleep 480
  Thread.list.each { |thread| warn thread.inspect, *thread.backtrace }
  exit! 1
end

ActiveRecord::Migration.verbose = false
ActiveRecord::Base.connection_pool.migration_context.migrate

class ActiveSupport::TestCase
  include ActiveSupport::Testing::TimeHelpers
  include Makings

  setup do
    [Alert, Event, Lamp, Account, Cursor].each(&:delete_all)
    Sidekiq.redis { |redis| redis.call("FLUSHDB") }
  end
end

require_relative "boot"

require "rails"
require "active_record/railtie"
require "action_controller/railtie"
require "action_view/railtie"
require "sidekiq"

require_relative "../lib/json_log"
require_relative "../lib/request_log"
require_relative "../lib/json_errors"
require_relative "../lib/setting"
require_relative "../lib/verification"
require_relative "../lib/metrics_server"
require_relative "../lib/job_metrics"

# What a family's carer never sees: lamps report falls, this application tells somebody.
module Lamplight
  class Application < Rails::Application
    config.load_defaults 7.2
    config.api_only = true
    config.time_zone = "UTC"

    config.logger = JsonLog.logger($stdout)
    config.log_level = Setting.text("LOG_LEVEL", "info").to_sym
    config.middleware.swap Rails::Rack::Logger, RequestLog
    config.exceptions_app = JsonErrors.new
    config.action_dispatch.log_rescued_responses = false

    config.hosts = Setting.list("RAILS_HOSTS")
    config.force_ssl = Setting.flag("FORCE_SSL")
    # Every path is redirected, health included: a probe that forgets X-Forwarded-Proto must look like a failure here,
    # as it would with any other Rails application.
    config.ssl_options = { hsts: { subdomains: false } }

    trusted = Setting.list("TRUSTED_PROXIES").map { |range| IPAddr.new(range) }
    config.action_dispatch.trusted_proxies = ActionDispatch::RemoteIp::TRUSTED_PROXIES + trusted if trusted.any?

    config.active_record.schema_format = :ruby
    config.active_record.dump_schema_after_migration = false
    config.generators.system_tests = nil
  end
end

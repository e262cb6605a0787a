Rails.application.configure do
  config.enable_reloading = false
  config.eager_load = true
  config.consider_all_requests_local = false
  config.action_dispatch.show_exceptions = :all
  # Its query cache would hide what other processes write.
  config.active_support.executor_around_test_case = false
  config.secret_key_base = Setting.text("SECRET_KEY_BASE", "only-for-tests")
  config.logger = JsonLog.logger(Setting.flag("TEST_LOG") ? $stdout : File::NULL)
end

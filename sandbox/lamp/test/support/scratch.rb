require "json"
require "pg"
require "uri"
require "setting"
require "broker_management"

# Things of the tests' own beside the real ones, so that a running installation is not disturbed.
module Scratch
  VHOST = "lamp-test"
  SCHEMA = "lamp_test"
  REDIS_DATABASE = 15

  module_function

  def prepare
    ENV["DATABASE_URL"] = database(URI(Setting.text("DATABASE_URL")))
    ENV["REDIS_URL"] = URI(Setting.text("REDIS_URL")).tap { |url| url.path = "/#{REDIS_DATABASE}" }.to_s
    ENV["AMQP_URL"] = virtual_host(URI(Setting.text("AMQP_URL")))
    ENV["HEARTBEAT_FILE"] = "/tmp/heartbeat-test"
    ENV["ADMIN_PASSWORD"] = "secret-admin"
    %w[FORCE_SSL RAILS_HOSTS TRUSTED_PROXIES DB_STATEMENT_TIMEOUT ESCALATE_AFTER].each { |name| ENV.delete(name) }
  end

  def remove
    management.delete("vhosts/#{VHOST}")
    PG.connect(@outside) { |connection| connection.exec(@drop) }
  end

  def management
    BrokerManagement.new(Setting.text("MQTT_MANAGEMENT_URL"))
  end

  def database(url)
    name = "#{url.path.delete_prefix("/")}_test"
    connection = PG.connect(@outside = url.to_s)
    connection.exec(@drop = "DROP DATABASE IF EXISTS #{connection.quote_ident(name)} WITH (FORCE)")
    connection.exec("CREATE DATABASE #{connection.quote_ident(name)}")
    url.tap { |own| own.path = "/#{name}" }.to_s
  rescue PG::InsufficientPrivilege
    connection.exec(@drop = "DROP SCHEMA IF EXISTS #{SCHEMA} CASCADE")
    connection.exec("CREATE SCHEMA #{SCHEMA}")
    options = "options=-csearch_path%3D#{SCHEMA}"
    url.tap { |own| own.query = [own.query, options].compact.join("&") }.to_s
  ensure
    connection&.close
  end

  def virtual_host(url)
    management.put("vhosts/#{VHOST}")
    [url.user, URI(Setting.text("MQTT_MANAGEMENT_URL")).user].uniq.each do |user|
      management.put("permissions/#{VHOST}/#{user}", configure: ".*", write: ".*", read: ".*")
    end
    url.tap { |own| own.path = "/#{VHOST}" }.to_s
  end
end

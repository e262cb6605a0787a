require "net/http"

# RabbitMQ's management API, as far as it is needed: JSON out, an error for whatever is not a success.
class BrokerManagement
  class Refused < StandardError; end

  def initialize(url = Setting.text("MQTT_MANAGEMENT_URL"))
    @url = URI(url)
  end

  def get(path) = JSON.parse(call(Net::HTTP::Get, path).body)
  def put(path, body = {}) = call(Net::HTTP::Put, path, body)
  def post(path, body = {}) = call(Net::HTTP::Post, path, body)
  def delete(path) = call(Net::HTTP::Delete, path)

  # One segment of a path; a virtual host is often called "/".
  def self.segment(text)
    URI.encode_www_form_component(text).gsub("+", "%20")
  end

  private

  def call(verb, path, body = nil)
    request = verb.new("#{@url.path.chomp("/")}/api/#{path}", "content-type" => "application/json")
    request.basic_auth(decoded(@url.user), decoded(@url.password))
    request.body = JSON.generate(body) if body
    response = http.start { |connection| connection.request(request) }
    return response if response.is_a?(Net::HTTPSuccess)

    raise Refused, "#{request.method} #{path}: #{response.code} #{response.body.to_s.truncate(200)}"
  end

  def http
    Net::HTTP.new(@url.host, @url.port).tap do |http|
      http.use_ssl = @url.scheme == "https"
      http.open_timeout = 3
      http.read_timeout = 30
    end
  end

  def decoded(text)
    URI.decode_www_form_component(text.to_s)
  end
end

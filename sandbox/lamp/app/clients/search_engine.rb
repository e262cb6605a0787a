require "net/http"

# Elasticsearch over plain HTTP, as far as it is needed: JSON in, JSON out, and an error that says what kind of trouble it is.
# Not Elastic's own client: Debian's is for version 7 and asks GET / first, which a server without that module can not answer.
class SearchEngine
  # No answer: refused, reset, too slow, or a certificate that is not the right one.
  class Away < StandardError; end
  # 429: it has too much to do, or its disk is full.
  class Throttled < StandardError; end
  # Any other status that is no success.
  class Refused < StandardError
    attr_reader :code

    def initialize(message, code)
      super(message)
      @code = code
    end
  end

  TROUBLE = [SystemCallError, SocketError, IOError, Timeout::Error, OpenSSL::SSL::SSLError, Net::ProtocolError,
             Net::HTTPBadResponse].freeze

  # An installation without a search engine has no address of one.
  def self.there?
    !Setting.text("ELASTICSEARCH_URL", "").empty?
  end

  # +patience+: seconds to wait for an answer, +reach+: for the connection.
  def initialize(url: Setting.text("ELASTICSEARCH_URL"), patience: 30, reach: 3)
    @url = URI(url)
    @patience = patience
    @reach = reach
  end

  # +body+ is an object, or the text of a bulk request.
  def call(verb, path, body = nil, type: "application/json")
    request = Net::HTTP.const_get(verb.to_s.capitalize).new("#{@url.path.chomp("/")}#{path}", "content-type" => type)
    request.basic_auth(decoded(@url.user), decoded(@url.password)) if @url.user
    request.body = body.is_a?(Hash) ? JSON.generate(body) : body if body
    answered(request, connection.request(request))
  rescue *TROUBLE => error
    close
    raise Away, "#{error.class.name}: #{error.message}"
  end

  def close
    @connection&.finish if @connection&.started?
  rescue IOError
    nil
  ensure
    @connection = nil
  end

  private

  def answered(request, response)
    case response
    when Net::HTTPSuccess then JSON.parse(response.body)
    when Net::HTTPTooManyRequests then raise Throttled, reason(request, response)
    else raise Refused.new(reason(request, response), response.code.to_i)
    end
  rescue JSON::ParserError
    raise Refused.new("#{request.method} #{request.path}: an answer that is no JSON", response.code.to_i)
  end

  def reason(request, response)
    "#{request.method} #{request.path}: #{response.code} #{response.body.to_s.truncate(300)}"
  end

  # Kept open between requests. One that broke is not repaired by Net::HTTP, which would send a request twice unasked.
  def connection
    @connection ||= Net::HTTP.new(@url.host, @url.port).tap do |http|
      secure(http) if @url.scheme == "https"
      http.open_timeout = @reach
      http.ssl_timeout = @reach
      http.read_timeout = @patience
      http.write_timeout = @patience
      http.max_retries = 0
      http.keep_alive_timeout = 20
      http.start
    end
  end

  # ELASTICSEARCH_TLS and ELASTICSEARCH_CA_FILE; without them an https address is verified with the system's authorities.
  def secure(http)
    http.use_ssl = true
    Verification.params("ELASTICSEARCH").each { |name, value| http.public_send(:"#{name}=", value) }
  end

  def decoded(text)
    URI.decode_www_form_component(text.to_s)
  end
end

require "socket"

# A TCP proxy whose line can be cut (refuses, like a stopped server) or frozen (swallows, like a lost node).
class FlakyProxy
  attr_reader :port, :accepted

  def initialize(host, port)
    @target = [host, port]
    @mutex = Mutex.new
    @pairs = []
    @accepted = 0
    @frozen = false
    @port = TCPServer.open("127.0.0.1", 0) { |server| server.addr[1] }
    restore
  end

  # The URL of the same thing, seen through the proxy.
  def self.before(url, default_port)
    uri = URI(url)
    proxy = new(uri.host, uri.port || default_port)
    # Setting the host drops who connects.
    userinfo = uri.userinfo
    uri.host = "127.0.0.1"
    uri.port = proxy.port
    uri.userinfo = userinfo
    [proxy, uri.to_s]
  end

  def cut
    @server&.close
    @server = nil
    @mutex.synchronize { @pairs.flatten.each { |socket| close(socket) } && @pairs.clear }
  end

  def restore
    @frozen = false
    @server ||= TCPServer.new("127.0.0.1", @port).tap { |server| Thread.new { accept(server) } }
  end

  # New connections are frozen too.
  def freeze_line
    @frozen = true
  end

  # What was frozen stays lost; new connections work.
  def thaw_for_new
    @mutex.synchronize { @pairs.each { |pair| pair.each { |socket| socket.instance_variable_set(:@dead, true) } } }
    @frozen = false
  end

  private

  def accept(server)
    loop do
      inside = server.accept
      @accepted += 1
      outside = TCPSocket.new(*@target)
      @mutex.synchronize { @pairs << [inside, outside] }
      pump(inside, outside)
      pump(outside, inside)
    rescue SystemCallError, IOError
      break if server.closed?
    end
  end

  def pump(from, to)
    Thread.new do
      loop do
        data = from.readpartial(65_536)
        to.write(data) unless @frozen || from.instance_variable_get(:@dead)
      end
    rescue SystemCallError, IOError
      [from, to].each { |socket| close(socket) } unless @frozen || from.instance_variable_get(:@dead)
    end
  end

  def close(socket)
    socket.close
  rescue SystemCallError, IOError
    nil
  end
end

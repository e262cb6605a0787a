# Listens, and tries its targets over and over: a line of JSON for each try. Runs in a pod; the same as probe.py.
require "json"
require "socket"

said = JSON.parse(ENV.fetch("PROBE"))

def attempt(target)
  return Addrinfo.getaddrinfo(target["host"], nil).first.ip_address if target["port"].zero?

  Socket.tcp(target["host"], target["port"], connect_timeout: 1.5).close
  ""
end

said["targets"].each do |target|
  Thread.new do
    (1..).each do |count|
      ok, text = begin
        [true, attempt(target)]
      rescue SystemCallError, SocketError => error
        [false, error.message]
      end
      $stdout.syswrite("#{JSON.generate(target: target["name"], count: count, ok: ok, said: text)}\n")
      sleep 0.3
    end
  end
end
Thread.new { Socket.tcp_server_loop(said["port"]) { |client, _| client.close } }
sleep said["seconds"]

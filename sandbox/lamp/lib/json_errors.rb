# What a client gets when Rails itself refuses or fails: JSON, with the status that Rails chose.
class JsonErrors
  def call(env)
    status = env["PATH_INFO"].delete_prefix("/").to_i
    error = Rack::Utils::HTTP_STATUS_CODES.fetch(status, "Error").downcase
    [status, { "content-type" => "application/json; charset=utf-8" }, [JSON.generate(error:)]]
  end
end

-- Every request asks whether one of DEVICES devices may connect, in turn: token-of-device-<8 digits> with a client id of its own.
local threads = 0
local broker, secret, devices = os.getenv("BROKER"), os.getenv("SECRET"), tonumber(os.getenv("DEVICES"))
local total = tonumber(os.getenv("THREADS"))

function setup(thread)
  thread:set("id", threads)
  threads = threads + 1
end

function init(args)
  sent = 0
end

function request()
  local number = (sent * total + id) % devices
  sent = sent + 1
  local body = string.format('{"client_id":"client-%d","username":"token-of-device-%08d","address":"10.0.0.1"}', number, number)
  local headers = {["Content-Type"] = "application/json", ["Authorization"] = "Bearer " .. secret}
  return wrk.format("POST", "/api/brokers/" .. broker .. "/connect", headers, body)
end

function done(summary, latency, requests)
  io.stderr:write(string.format(
    '{"seconds": %f, "requests": %d, "bad_status": %d, "errors": %d, "p50_ms": %f, "p99_ms": %f}\n',
    summary.duration / 1e6, summary.requests, summary.errors.status,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end

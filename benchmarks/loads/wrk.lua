-- Every request names a device of its own: NAMES-<thread>-<n>, or NAMES-<i> with i counted across threads when NUMBERED is set.
local threads = 0
local names, key, secret, numbered = os.getenv("NAMES"), os.getenv("KEY"), os.getenv("SECRET"), os.getenv("NUMBERED")
local total = tonumber(os.getenv("THREADS"))

function setup(thread)
  thread:set("id", threads)
  threads = threads + 1
end

function init(args)
  sent = 0
  refused = 0
end

function request()
  local name
  if numbered then
    name = names .. "-" .. (sent * total + id)
  else
    name = names .. "-" .. id .. "-" .. sent
  end
  sent = sent + 1
  local body = '{"provisionDeviceKey":"' .. key .. '","provisionDeviceSecret":"' .. secret .. '","deviceName":"' .. name .. '"}'
  return wrk.format("POST", "/api/v1/provision", {["Content-Type"] = "application/json"}, body)
end

function done(summary, latency, requests)
  io.stderr:write(string.format(
    '{"seconds": %f, "requests": %d, "bad_status": %d, "errors": %d, "p50_ms": %f, "p99_ms": %f}\n',
    summary.duration / 1e6, summary.requests, summary.errors.status,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end

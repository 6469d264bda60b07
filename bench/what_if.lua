-- What wrk posts as what-ifs: `wrk ... -s bench/what_if.lua http://HOST:PORT/ -- ID...`, every body another one.
-- The score and the clock follow from a counter, of which each thread has its own range; all bodies have one length, so
-- that a request is three strings put together. The last line of the output is JSON, for bench/generators.py.
local SCORES, FIRST_MS, SPAN_MS, STRIDE = 6, 1000000, 1700000, 7919 -- seven digits of match time; a prime spreads them
local BODY = '{"score":[%d,%d],"clock":{"period":%d,"ms":%d}}'
local FIELD = os.getenv("WHAT_IF_FIELD") or "" -- of a body that holds a list of what-ifs, for servers that want one
if FIELD ~= "" then BODY = '{"' .. FIELD .. '":[' .. BODY .. ']}' end
local threads = 0

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

function init(args)
  local length = #string.format(BODY, 0, 0, 1, FIRST_MS)
  heads = {}
  for _, id in ipairs(args) do
    heads[#heads + 1] = string.format(
      "POST /v1/matches/%s/forecast HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n",
      id, wrk.headers["Host"] or wrk.host, length)
  end
  counter = number * 100000000
end

function request()
  counter = counter + 1
  local score = counter % (SCORES * SCORES)
  local ms = FIRST_MS + counter * STRIDE % SPAN_MS
  local body = string.format(BODY, math.floor(score / SCORES), score % SCORES, 1 + counter % 2, ms)
  return heads[1 + counter % #heads] .. body
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"us":%d,"p50_us":%d,"p90_us":%d,"p99_us":%d,"max_us":%d,' ..
    '"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(90), latency:percentile(99),
    latency.max, errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end

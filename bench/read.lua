-- What wrk reads: `wrk ... -s bench/read.lua http://HOST:PORT/ -- ID...`, the latest forecast of each match in turn.
-- With READ_TAG every request carries it as If-None-Match. Threads and the last line are those of bench/what_if.lua.
dofile((debug.getinfo(1, "S").source:sub(2):gsub("read%.lua$", "what_if.lua")))
local TAG = os.getenv("READ_TAG") or ""

function init(args)
  requests = {}
  for _, id in ipairs(args) do
    local tag = TAG ~= "" and "If-None-Match: " .. TAG .. "\r\n" or ""
    requests[#requests + 1] = string.format(
      "GET /v1/matches/%s/forecast HTTP/1.1\r\nHost: %s\r\n%s\r\n", id, wrk.headers["Host"] or wrk.host, tag)
  end
  counter = 0
end

function request()
  counter = counter + 1
  return requests[1 + counter % #requests]
end

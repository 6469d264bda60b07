#!lua flags=no-cluster
-- The live view in Redis. One script with all that changes it, so that every change is one step: nobody reads a half.
-- It touches keys of several slots, hence no-cluster: it needs one Redis, a primary.
--
-- A match is a hash {fence, epoch, seq, partition, offset, value}. A partition's resume buffer is a stream, and beside
-- it stands in a hash what it is good for: of the entries with floor < offset <= newest none is missing, `count` of
-- them are in the stream. Redis may evict, expire or lose either key alone. Whoever looks therefore compares the two:
-- a stream of another length than `count` is not the one that was written, and vouches for nothing up to `newest`.
--
-- ARGV: operation, seconds to live, length of a stream, and what the operation needs. Numbers are kept as they came
-- and compared as doubles, which are exact below 2^53; offsets, sequences and epochs of a log stay far below.

local TTL, SIZE = ARGV[2], tonumber(ARGV[3])
local REFUSED, TAKEN, KNOWN = 0, 1, 2
local FIELDS = 5 -- of an entry in ARGV: offset, match id, epoch, seq, value

local function above(one, other) return tonumber(one) > tonumber(other) end
local function higher(one, other) return above(one, other) and one or other end
local function lower(one, other) return above(one, other) and other or one end
local function id(offset) return string.format('%.0f-0', tonumber(offset) + 1) end -- 0-0 is none, offset 0 is one

local function renew(...)
  for _, key in ipairs({...}) do redis.call('EXPIRE', key, TTL) end
end

-- What a tail vouches for, floor and newest, and whether its stream is the one that was written; nil: nothing.
local function vouched(tail, entries)
  local floor, newest, count = unpack(redis.call('HMGET', tail, 'floor', 'newest', 'count'))
  if not (floor and newest and count) then return nil, nil, false end
  local whole = redis.call('XLEN', entries) == tonumber(count)
  return whole and floor or newest, newest, whole
end

local function add(entries, offset, match_id, epoch, seq, value)
  redis.call('XADD', entries, id(offset), 'offset', offset, 'match_id', match_id, 'epoch', epoch, 'seq', seq,
    'value', value)
end

local function save(tail, entries, floor, newest)
  local extra = redis.call('XLEN', entries) - SIZE
  if extra > 0 then
    local gone = redis.call('XRANGE', entries, '-', '+', 'COUNT', extra)
    floor = gone[extra][2][2]
    redis.call('XTRIM', entries, 'MAXLEN', '=', SIZE)
  end
  redis.call('HSET', tail, 'floor', floor, 'newest', newest, 'count', redis.call('XLEN', entries))
  renew(tail, entries)
end

-- Put an entry at a tail's end. `link` is the offset of the entry before it, as its writer knows them: if the tail ends
-- before that, something between is missing here, whoever lost it. Without a link the entry comes some other way, and
-- what is left to do is the check that every writer gets: an entry within what is vouched for must be there.
local function place(tail, entries, link, offset, ...)
  local floor, newest, whole = vouched(tail, entries)
  if link ~= '' and (not newest or above(link, newest)) then
    redis.call('DEL', entries)
    floor, newest, whole = link, link, true
    save(tail, entries, floor, newest)
  end
  if newest and not above(offset, newest) then -- not in the log's order: nobody may have been shown it
    if above(offset, floor) and #redis.call('XRANGE', entries, id(offset), id(offset)) == 0 then
      redis.call('DEL', entries)
      save(tail, entries, newest, newest)
    end
  elseif link ~= '' then
    if not whole then redis.call('DEL', entries) end
    add(entries, offset, ...)
    save(tail, entries, floor, offset)
  end
end

-- Compare and set: refuse an epoch below the highest met and a seq not above the last. A refused entry still fences.
local function put()
  local match, matches, tail, entries = unpack(KEYS)
  local match_id, epoch, seq, partition, offset, value, fence, link = unpack(ARGV, 4)
  local met, last, at = unpack(redis.call('HMGET', match, 'fence', 'seq', 'offset'))
  if not met or above(fence, met) then redis.call('HSET', match, 'fence', fence) end
  redis.call('SADD', matches, match_id)
  renew(match, matches, tail, entries)
  if met and above(met, epoch) then return REFUSED end
  if last and not above(seq, last) then return above(offset, at) and REFUSED or KNOWN end
  redis.call('HSET', match, 'epoch', epoch, 'seq', seq, 'partition', partition, 'offset', offset, 'value', value)
  place(tail, entries, link, offset, match_id, epoch, seq, value)
  return TAKEN
end

local function forget()
  redis.call('DEL', KEYS[1])
  redis.call('SREM', KEYS[2], ARGV[4])
end

-- Unite what is held with a piece of the log that a writer has whole: all entries with floor < offset <= newest. Two
-- pieces that do not touch cannot be vouched for together; then the one with the newer end stays.
local function mend()
  local tail, entries = unpack(KEYS)
  local floor, newest = ARGV[4], ARGV[5]
  local held_floor, held_newest, whole = vouched(tail, entries)
  if not whole then redis.call('DEL', entries) end
  if not held_newest or above(held_floor, newest) or above(floor, held_newest) then
    if held_newest and above(held_newest, newest) then
      if not whole then save(tail, entries, held_newest, held_newest) end
      return
    end
    redis.call('DEL', entries)
    held_floor, held_newest = floor, floor
  end
  local held = {}
  if above(held_floor, floor) then -- a stream grows at its end only, so it is written anew
    held = redis.call('XRANGE', entries, '-', '+')
    redis.call('DEL', entries)
  end
  for i = 6, #ARGV, FIELDS do
    if not above(ARGV[i], held_floor) then add(entries, unpack(ARGV, i, i + FIELDS - 1)) end
  end
  for _, entry in ipairs(held) do redis.call('XADD', entries, entry[1], unpack(entry[2])) end
  for i = 6, #ARGV, FIELDS do
    if above(ARGV[i], held_newest) then add(entries, unpack(ARGV, i, i + FIELDS - 1)) end
  end
  save(tail, entries, lower(floor, held_floor), higher(newest, held_newest))
end

local function latest()
  local found = redis.call('HMGET', KEYS[1], 'epoch', 'seq', 'partition', 'offset', 'value')
  return found[1] and found
end

local function behind()
  local tail, entries = unpack(KEYS)
  local after = ARGV[4]
  local floor = vouched(tail, entries)
  if not floor or above(floor, after) then return false end
  return redis.call('XRANGE', entries, '(' .. id(after), '+')
end

-- Say what is held of the asked matches and partitions, false for what is not, and renew its time to live.
local function look()
  local told, asked = {}, tonumber(ARGV[4])
  renew(unpack(KEYS))
  for i = 1, asked do
    local fence, seq = unpack(redis.call('HMGET', KEYS[1 + i], 'fence', 'seq'))
    local listed = redis.call('SISMEMBER', KEYS[1], ARGV[4 + i]) == 1
    table.insert(told, fence and seq and listed and {fence, seq})
  end
  for i = asked + 2, #KEYS, 2 do
    local floor, newest, whole = vouched(KEYS[i], KEYS[i + 1])
    table.insert(told, whole and {floor, newest, redis.call('XLEN', KEYS[i + 1]) >= SIZE})
  end
  return told
end

local function matches()
  local told = {}
  for _, match_id in ipairs(redis.call('SMEMBERS', KEYS[1])) do
    if redis.call('EXISTS', ARGV[4] .. match_id) == 1 then table.insert(told, match_id) end
  end
  return told
end

local operations = {
  put = put, forget = forget, mend = mend, latest = latest, behind = behind, look = look, matches = matches,
}
return operations[ARGV[1]]()

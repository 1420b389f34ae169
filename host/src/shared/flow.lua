-- What was read in a conversation of a caller, by all hosts. KEYS[1]: all conversations of the caller, by their names; "*" is for those without one,
-- and for those that are too many. ARGV: the name, what is read from now on (1 private, 2 untrusted, 3 both, 0 nothing), how many milliseconds a
-- conversation is remembered after its last call, and how many are told apart. Answers what was read before.
-- The clock is this server's, so that those of the hosts do not matter.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local name, adds, window, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local function parse(kept)
  local read, used = string.match(kept or '', '^(%d):(%d+)$')
  -- What comes from a clock that was set back is as good as new.
  if read and now - tonumber(used) <= window then
    return tonumber(read)
  end
  return nil
end
local function put(field, read)
  redis.call('HSET', KEYS[1], field, string.format('%d:%.0f', read, now))
end
local own, all = parse(redis.call('HGET', KEYS[1], name)), parse(redis.call('HGET', KEYS[1], '*'))
-- A call keeps what is remembered.
if own then put(name, own) end
if all then put('*', all) end
local before = bit.bor(own or 0, all or 0)
if adds > 0 then
  local place = name
  if not own and redis.call('HLEN', KEYS[1]) >= most then
    local kept = redis.call('HGETALL', KEYS[1])
    for i = 1, #kept, 2 do
      if not parse(kept[i + 1]) then
        redis.call('HDEL', KEYS[1], kept[i])
      end
    end
    if redis.call('HLEN', KEYS[1]) >= most then
      place = '*'
    end
  end
  local there = place == '*' and all or own
  put(place, bit.bor(there or 0, adds))
end
redis.call('PEXPIRE', KEYS[1], window + 1000)
return before

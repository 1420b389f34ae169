-- ARGV: the key; what to do ("set", "delete", "increment"); the value; the time to live in milliseconds, or nothing; by how
-- much; when ("always", "absent" or a version); what the plugin may keep, and all of them. Answers {word, number}. What is
-- refused changes nothing.
local key, word, value, when = ARGV[1], ARGV[2], ARGV[3], ARGV[6]
local quota, size = tonumber(ARGV[7]), tonumber(ARGV[8])
local space = string.sub(values, #root + 3)

-- What an entry counts for: as in the store of one host.
local function weight(key, length)
  return 64 + #key + length
end

local function plugin_of(space)
  return string.sub(space, 1, string.find(space, ':', 1, true) - 1)
end

local function account(space, bytes)
  bytes = string.format('%.0f', bytes)
  redis.call('HINCRBY', used, plugin_of(space), bytes)
  redis.call('HINCRBY', used, '', bytes)
end

local function member(space, key)
  return #space .. ':' .. space .. key
end

local function remove(space, key)
  if not redis.call('HGET', root .. 'm:' .. space, key) then
    return
  end
  account(space, -weight(key, redis.call('HSTRLEN', root .. 'v:' .. space, key)))
  redis.call('HDEL', root .. 'v:' .. space, key)
  redis.call('HDEL', root .. 'm:' .. space, key)
  redis.call('ZREM', root .. 'k:' .. space, key)
  redis.call('ZREM', expiring, member(space, key))
end

-- Deletes some of what has expired. Whether there may be more.
local function sweep(most)
  local gone = redis.call('ZRANGEBYSCORE', expiring, '-inf', now, 'LIMIT', 0, most)
  for _, one in ipairs(gone) do
    local colon = string.find(one, ':', 1, true)
    local length = tonumber(string.sub(one, 1, colon - 1))
    remove(string.sub(one, colon + 1, colon + length), string.sub(one, colon + length + 1))
    redis.call('ZREM', expiring, one)
  end
  return #gone == most
end

local version, expires = find(key)
local holds = when == 'always' or (when == 'absent' and not version) or (version and when == version)
if word == 'delete' then
  local deletes = version and holds
  if deletes then
    remove(space, key)
  end
  return {'deleted', deletes and '1' or '0'}
end
if not holds then
  return {'unmet', ''}
end
if not version then
  -- What has expired is in the way.
  remove(space, key)
end
if word == 'increment' then
  local old = version and redis.call('HGET', values, key) or '0'
  local sign, digits = string.match(old, '^([+-]?)(%d+)$')
  if not digits then
    return {'no number', ''}
  end
  digits = string.gsub(digits, '^0+(%d)', '%1')
  -- HINCRBY counts exactly, which Lua does not. What is there is put back until it is known to have room.
  redis.call('HSET', values, key, (sign == '-' and digits ~= '0') and '-' .. digits or digits)
  local number = redis.pcall('HINCRBY', values, key, '0')
  local before = redis.call('HGET', values, key)
  local sum = redis.pcall('HINCRBY', values, key, ARGV[5])
  value = redis.call('HGET', values, key)
  if version then
    redis.call('HSET', values, key, old)
  else
    redis.call('HDEL', values, key)
  end
  if type(number) == 'table' then
    return {'no number', ''}
  elseif type(sum) == 'table' then
    return {'overflow', before}
  end
  expires = expires or 0
elseif ARGV[4] == '' then
  expires = 0
else
  -- A time of no length has passed: 0 is for what never expires.
  expires = math.max(1, now + tonumber(ARGV[4]))
end
local new, old = weight(key, #value), version and weight(key, redis.call('HSTRLEN', values, key)) or 0
if new > old then
  local own, all
  local function is_too_much()
    own = tonumber(redis.call('HGET', used, plugin_of(space)) or '0') - old + new
    all = tonumber(redis.call('HGET', used, '') or '0') - old + new
    return own > quota or all > size
  end
  local rounds = 0
  while is_too_much() do
    rounds = rounds + 1
    -- Not all at once: nobody else is served meanwhile.
    if rounds > 20 or not sweep(256) then
      if is_too_much() then
        return {own > quota and 'full' or 'full all', string.format('%.0f', own > quota and own or all)}
      end
      break
    end
  end
end
remove(space, key)
-- By the time where that is more: no version comes again where this server has lost what it knew.
local next = math.max(tonumber(redis.call('GET', last) or '0') + 1, tonumber(time[1]) * 1000000 + tonumber(time[2]))
next = string.format('%.0f', next)
redis.call('SET', last, next)
redis.call('HSET', values, key, value)
redis.call('HSET', meta, key, next .. ' ' .. string.format('%.0f', expires))
redis.call('ZADD', index, 0, key)
if expires > 0 then
  redis.call('ZADD', expiring, string.format('%.0f', expires), member(space, key))
end
account(space, new)
sweep(64)
if word == 'increment' then
  return {'number', value}
end
return {'set', next}

-- KEYS: the values of a space (a plugin and an owner), what is known of them, their keys in order; what expires by when, of
-- all spaces; bytes by plugin, and of all under the empty name; the last version.
local values, meta, index, expiring, used, last = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
-- What all keys begin with.
local root = string.sub(expiring, 1, -1 - #'expiring')
-- The clock is this server's, so that those of the hosts do not matter.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

-- The version of a key as text and when it expires (0: never). Nil where there is none, or none any more.
local function find(key)
  local known = redis.call('HGET', meta, key)
  if not known then
    return nil
  end
  local version, expires = string.match(known, '^(%d+) (%d+)$')
  expires = tonumber(expires)
  if expires ~= 0 and expires <= now then
    return nil
  end
  return version, expires
end


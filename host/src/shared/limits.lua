-- Whether a call may be made by all of its limits; then it is counted against all of them, else against none.
-- KEYS: what each limit is counted under. ARGV, three for each: "rate", the microseconds that one call takes, how many
-- it may be ahead; or "day", the most, 0. Answers {0, 0}, or the place of the limit that refuses and the microseconds to wait.
-- The clock is this server's, so that those of the hosts do not matter.
local time = redis.call('TIME')
local second, now = tonumber(time[1]), tonumber(time[1]) * 1000000 + tonumber(time[2])
local next = {}
for i, key in ipairs(KEYS) do
  local kind, first, ahead = ARGV[3 * i - 2], tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
  local kept = tonumber(redis.call('GET', key) or '') or 0
  if kind == 'rate' then
    -- When the next one is due. What is past counts as now; what is too far ahead comes from a clock that was set back.
    local due = math.min(math.max(kept, now), now + ahead + first)
    if due - now > ahead then
      return {i, math.ceil(due - now - ahead)}
    end
    next[i] = due + first
  elseif kept >= first then
    return {i, (86400 - second % 86400) * 1000000}
  end
end
for i, key in ipairs(KEYS) do
  if next[i] then
    redis.call('SET', key, string.format('%.3f', next[i]), 'PX', math.max(1, math.ceil((next[i] - now) / 1000)))
  else
    redis.call('INCR', key)
    redis.call('EXPIREAT', key, second - second % 86400 + 86400)
  end
end
return {0, 0}

-- ARGV: where to begin and to end, as ZRANGEBYLEX has it; how many to skip, and how many at most. Answers keys in order.
local from, skip, limit, found = ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4]), {}
while #found < limit do
  local some = redis.call('ZRANGEBYLEX', index, from, ARGV[2], 'LIMIT', 0, 1000)
  if #some == 0 then
    break
  end
  local known = redis.call('HMGET', meta, unpack(some))
  for i, key in ipairs(some) do
    local expires = tonumber(string.match(known[i] or '', '%d+$') or '')
    if expires and (expires == 0 or expires > now) and #found < limit then
      if skip > 0 then
        skip = skip - 1
      else
        found[#found + 1] = key
      end
    end
  end
  from = '(' .. some[#some]
end
return found

-- ARGV: the key. Answers {version, value}; version 0: there is none.
local version = find(ARGV[1])
if not version then
  return {'0', ''}
end
return {version, redis.call('HGET', values, ARGV[1])}

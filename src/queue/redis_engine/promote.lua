-- Moves some due jobs to the active list.
-- ARGV: queue, now in seconds, limit
local queue = ARGV[1]
local due = redis.call('ZRANGEBYSCORE', queue .. ':scheduled', '-inf', ARGV[2], 'LIMIT', 0, ARGV[3])
for _, task in ipairs(due) do
    redis.call('ZREM', queue .. ':scheduled', task)
    redis.call('RPUSH', queue .. ':active', task)
end
return #due

-- How many jobs wait, how many run. Missing keys count as empty.
-- ARGV: queue
local queue = ARGV[1]
local waiting = redis.call('LLEN', queue .. ':active') + redis.call('ZCARD', queue .. ':scheduled')
local running = 0
for _, worker in ipairs(redis.call('ZRANGE', queue .. ':workers', 0, -1)) do
    running = running + redis.call('SCARD', queue .. ':inflight:' .. worker)
end
return {waiting, running}

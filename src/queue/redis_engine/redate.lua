-- Dates heartbeats that lie ahead to now: their clock has been set back, and who lives beats again.
-- ARGV: queue, now in seconds, the latest that a heartbeat can be
local workers = ARGV[1] .. ':workers'
for _, worker in ipairs(redis.call('ZRANGEBYSCORE', workers, '(' .. ARGV[3], '+inf')) do
    redis.call('ZADD', workers, ARGV[2], worker)
end

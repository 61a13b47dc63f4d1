-- Puts unstarted jobs of a worker back at the head of the queue.
-- ARGV: queue, worker, then tasks
local queue = ARGV[1]
for i = #ARGV, 3, -1 do
    if redis.call('SREM', queue .. ':inflight:' .. ARGV[2], ARGV[i]) == 1 then
        redis.call('LPUSH', queue .. ':active', ARGV[i])
    end
end

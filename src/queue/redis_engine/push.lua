-- Adds jobs that neither wait nor run. What has finished is forgotten first, so that a submission
-- can be pushed again before the reaper came by. Straight to the active list: apalis' own push
-- goes through the scheduled set, and its fetch fails for ever once 8,000 are due there.
-- ARGV: queue, then (task, payload) pairs
local queue = ARGV[1]
for i = 2, #ARGV, 2 do
    local task = ARGV[i]
    local meta = queue .. ':meta:' .. task
    local finished = redis.call('SREM', queue .. ':done', task) + redis.call('SREM', queue .. ':dead', task)
    if finished > 0 then
        redis.call('HDEL', queue .. ':data', task)
    end
    if redis.call('HSETNX', queue .. ':data', task, ARGV[i + 1]) == 1 then
        redis.call('DEL', meta)
        redis.call('HSET', meta, 'attempts', 0, 'max_attempts', 1, 'status', 'Pending')
        redis.call('RPUSH', queue .. ':active', task)
    end
end

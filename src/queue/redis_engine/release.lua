-- Puts every job of a worker back and forgets the worker. A job whose payload or metadata is gone
-- (evicted, deleted by hand) is dropped: apalis cannot read it, fails the whole fetch, and would
-- fail every one after. The database has the submission, and absent() finds it missing.
-- ARGV: queue, worker, 1 to do so only if the worker is not registered
-- Returns how many jobs were dropped.
local queue, worker = ARGV[1], ARGV[2]
if ARGV[3] == '1' and redis.call('ZSCORE', queue .. ':workers', worker) then
    return 0
end
local inflight = queue .. ':inflight:' .. worker
local lost = 0
for _, task in ipairs(redis.call('SMEMBERS', inflight)) do
    local meta = queue .. ':meta:' .. task
    local fields = redis.call('HMGET', meta, 'attempts', 'max_attempts', 'status')
    if fields[1] and fields[2] and fields[3] and redis.call('HEXISTS', queue .. ':data', task) == 1 then
        redis.call('RPUSH', queue .. ':active', task)
    else
        redis.call('HDEL', queue .. ':data', task)
        redis.call('DEL', meta)
        lost = lost + 1
    end
end
redis.call('DEL', inflight, queue .. ':workers:metadata:' .. worker)
redis.call('ZREM', queue .. ':workers', worker)
return lost

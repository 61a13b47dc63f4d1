-- For each task, 1 where it neither waits nor runs. Looks into the lists themselves, not at the
-- payloads: a job that is in no list will never run, whatever else is left of it, and what is left
-- is removed so that it can be pushed again.
-- ARGV: queue, then tasks
local queue = ARGV[1]
local present = {}
for _, task in ipairs(redis.call('LRANGE', queue .. ':active', 0, -1)) do
    present[task] = true
end
for _, worker in ipairs(redis.call('ZRANGE', queue .. ':workers', 0, -1)) do
    for _, task in ipairs(redis.call('SMEMBERS', queue .. ':inflight:' .. worker)) do
        present[task] = true
    end
end
local answer = {}
for i = 2, #ARGV do
    local task = ARGV[i]
    if present[task] or redis.call('ZSCORE', queue .. ':scheduled', task) then
        answer[i - 1] = 0
    else
        answer[i - 1] = 1
        redis.call('HDEL', queue .. ':data', task)
        redis.call('DEL', queue .. ':meta:' .. task)
        redis.call('SREM', queue .. ':done', task)
        redis.call('SREM', queue .. ':dead', task)
    end
end
return answer

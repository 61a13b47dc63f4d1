-- Writes to every kind of key of this queue and takes it back at once: nobody sees it.
-- ARGV: queue, a task that there never is
local queue, task = ARGV[1], ARGV[2]
local meta, inflight = queue .. ':meta:' .. task, queue .. ':inflight:' .. task
redis.call('HSETNX', queue .. ':data', task, '')
redis.call('HDEL', queue .. ':data', task)
redis.call('HSET', meta, 'status', 'Pending')
redis.call('DEL', meta)
redis.call('LTRIM', queue .. ':active', 0, -1)
redis.call('ZREM', queue .. ':workers', task)
redis.call('ZREM', queue .. ':scheduled', task)
redis.call('SREM', inflight, task)
redis.call('SREM', queue .. ':done', task)
redis.call('SREM', queue .. ':dead', task)

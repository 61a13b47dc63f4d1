-- The payload of the job that is taken next; nothing where none waits.
-- ARGV: queue
local queue = ARGV[1]
local task = redis.call('LINDEX', queue .. ':active', 0)
return task and redis.call('HGET', queue .. ':data', task)

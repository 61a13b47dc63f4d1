-- Forgets up to a number of finished jobs. A task is in done or dead only while it neither waits
-- nor runs: push takes it out when it makes a new job of it.
-- ARGV: queue, limit
local queue, limit = ARGV[1], tonumber(ARGV[2])
local gone = 0
for _, set in ipairs({queue .. ':done', queue .. ':dead'}) do
    if gone < limit then
        for _, task in ipairs(redis.call('SPOP', set, limit - gone)) do
            redis.call('HDEL', queue .. ':data', task)
            redis.call('DEL', queue .. ':meta:' .. task)
            gone = gone + 1
        end
    end
end
return gone

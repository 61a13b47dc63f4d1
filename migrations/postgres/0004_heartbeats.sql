-- The newest heartbeat of each path that came through: a job that was sent through the queue.
CREATE TABLE heartbeats (
    path text COLLATE "C" PRIMARY KEY,
    sent_ms bigint NOT NULL,
    done_ms bigint NOT NULL
) WITH (fillfactor = 50);

-- The newest heartbeat of each path that came through: a job that was sent through the queue.
CREATE TABLE heartbeats (
    path TEXT NOT NULL PRIMARY KEY,
    sent_ms INTEGER NOT NULL,
    done_ms INTEGER NOT NULL
) WITHOUT ROWID;

-- What is brought in of the past. `request` is what was asked for, so that the same command resumes it;
-- `expected` how many submissions it was estimated to bring.
CREATE TABLE backfills (
    id INTEGER PRIMARY KEY,
    subreddit TEXT NOT NULL,
    source TEXT NOT NULL,
    request TEXT NOT NULL,
    range_start INTEGER NOT NULL,
    range_end INTEGER NOT NULL,
    newest_first INTEGER NOT NULL,
    max_active INTEGER NOT NULL,
    refresh INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('running', 'paused', 'cancelled', 'done')),
    expected INTEGER,
    created_at INTEGER NOT NULL,
    finished_at INTEGER,
    CHECK (range_start < range_end)
);

CREATE INDEX backfills_open ON backfills (subreddit) WHERE state IN ('running', 'paused');

-- The parts that it is done in: of time, or files. `reached`: what of it is stored, up to this second,
-- or this line. A slice that waits is fed (handed to the queue) while `fed_ms` is set, and worked on
-- while its claim holds.
CREATE TABLE slices (
    id INTEGER PRIMARY KEY,
    backfill INTEGER NOT NULL REFERENCES backfills (id),
    part INTEGER NOT NULL,
    name TEXT,
    slice_start INTEGER NOT NULL,
    slice_end INTEGER NOT NULL,
    reached INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'done', 'failed')),
    proven_seconds INTEGER NOT NULL DEFAULT 0,
    listed INTEGER NOT NULL DEFAULT 0,
    fresh INTEGER NOT NULL DEFAULT 0,
    renewed INTEGER NOT NULL DEFAULT 0,
    refused INTEGER NOT NULL DEFAULT 0,
    requests INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    reason TEXT,
    due_ms INTEGER NOT NULL,
    fed_ms INTEGER,
    claim_token INTEGER NOT NULL DEFAULT 0,
    claimed_by TEXT,
    claimed_until_ms INTEGER,
    UNIQUE (backfill, part)
);

CREATE INDEX slices_waiting ON slices (backfill, part) WHERE state = 'waiting';
CREATE INDEX slices_fed ON slices (fed_ms) WHERE fed_ms IS NOT NULL AND state = 'waiting';

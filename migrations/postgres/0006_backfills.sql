-- What is brought in of the past. `request` is what was asked for, so that the same command resumes it;
-- `expected` how many submissions it was estimated to bring.
CREATE TABLE backfills (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subreddit text COLLATE "C" NOT NULL,
    source text NOT NULL,
    request text NOT NULL,
    range_start bigint NOT NULL,
    range_end bigint NOT NULL,
    newest_first boolean NOT NULL,
    max_active bigint NOT NULL,
    refresh boolean NOT NULL,
    state text NOT NULL CHECK (state IN ('running', 'paused', 'cancelled', 'done')),
    expected bigint,
    created_at bigint NOT NULL,
    finished_at bigint,
    CHECK (range_start < range_end)
);

CREATE INDEX backfills_open ON backfills (subreddit) WHERE state IN ('running', 'paused');

-- The parts that it is done in: of time, or files. `reached`: what of it is stored, up to this second,
-- or this line. A slice that waits is fed (handed to the queue) while `fed_ms` is set, and worked on
-- while its claim holds.
CREATE TABLE slices (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    backfill bigint NOT NULL REFERENCES backfills (id),
    part bigint NOT NULL,
    name text,
    slice_start bigint NOT NULL,
    slice_end bigint NOT NULL,
    reached bigint NOT NULL,
    state text NOT NULL CHECK (state IN ('waiting', 'done', 'failed')),
    proven_seconds bigint NOT NULL DEFAULT 0,
    listed bigint NOT NULL DEFAULT 0,
    fresh bigint NOT NULL DEFAULT 0,
    renewed bigint NOT NULL DEFAULT 0,
    refused bigint NOT NULL DEFAULT 0,
    requests bigint NOT NULL DEFAULT 0,
    attempts bigint NOT NULL DEFAULT 0,
    reason text,
    due_ms bigint NOT NULL,
    fed_ms bigint,
    claim_token bigint NOT NULL DEFAULT 0,
    claimed_by text,
    claimed_until_ms bigint,
    UNIQUE (backfill, part)
);

CREATE INDEX slices_waiting ON slices (backfill, part) WHERE state = 'waiting';
CREATE INDEX slices_fed ON slices (fed_ms) WHERE fed_ms IS NOT NULL AND state = 'waiting';

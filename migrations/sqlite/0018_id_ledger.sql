-- What became of the ids of the counter that Reddit numbers submissions with, since the scan of it began.

-- Ids that were asked for and answered, as runs that neither overlap nor touch (run_end is not part of
-- a run). Of these, each id without a row in id_retries is settled: seen, or absent for good.
CREATE TABLE id_runs (
    run_start INTEGER NOT NULL PRIMARY KEY,
    run_end INTEGER NOT NULL,
    CHECK (run_start < run_end)
);

-- Absent ids that are asked for again.
CREATE TABLE id_retries (
    id INTEGER NOT NULL PRIMARY KEY,
    tries INTEGER NOT NULL,
    missing_ms INTEGER NOT NULL,
    due_ms INTEGER NOT NULL
);

-- One row once a scan has begun: the first id that it answers for, the highest that was seen, and how
-- many ids below it were seen, and found to be absent for good.
CREATE TABLE id_scan (
    slot INTEGER NOT NULL PRIMARY KEY CHECK (slot = 0),
    first_id INTEGER NOT NULL,
    head_id INTEGER NOT NULL,
    seen INTEGER NOT NULL DEFAULT 0,
    absent INTEGER NOT NULL DEFAULT 0
);

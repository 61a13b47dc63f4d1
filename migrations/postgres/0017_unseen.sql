-- Times of which a backfill was not shown everything, or could not read it: it does not prove them, whichever attempt
-- comes to the end.
CREATE TABLE unseen (
    backfill bigint NOT NULL REFERENCES backfills (id),
    interval_start bigint NOT NULL,
    interval_end bigint NOT NULL,
    PRIMARY KEY (backfill, interval_start, interval_end)
);

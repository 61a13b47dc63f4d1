-- Times of which a backfill was not shown everything, or could not read it: it does not prove them, whichever attempt
-- comes to the end.
CREATE TABLE unseen (
    backfill INTEGER NOT NULL REFERENCES backfills (id),
    interval_start INTEGER NOT NULL,
    interval_end INTEGER NOT NULL,
    PRIMARY KEY (backfill, interval_start, interval_end)
) WITHOUT ROWID;

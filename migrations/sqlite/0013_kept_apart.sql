-- How much undecodable holds: its objects, and 200 bytes beside each. The oldest go once it is too much.
ALTER TABLE counters ADD COLUMN undecodable_bytes INTEGER NOT NULL DEFAULT 0;

UPDATE counters SET undecodable_bytes = (SELECT coalesce(sum(length(CAST(raw AS BLOB)) + 200), 0) FROM undecodable)
WHERE slot = 0;

CREATE INDEX undecodable_by_age ON undecodable (last_seen_ms, hash);

-- When submissions were created that a backfill met and the database did not take: it does not prove their
-- seconds.
CREATE TABLE unstored (
    backfill INTEGER NOT NULL REFERENCES backfills (id),
    created_utc INTEGER NOT NULL,
    PRIMARY KEY (backfill, created_utc)
) WITHOUT ROWID;

-- How much undecodable holds: its objects, and 200 bytes beside each. The oldest go once it is too much.
ALTER TABLE counters ADD COLUMN undecodable_bytes bigint NOT NULL DEFAULT 0;

UPDATE counters SET undecodable_bytes = (SELECT coalesce(sum(octet_length(raw) + 200), 0) FROM undecodable)
WHERE slot = 0;

CREATE INDEX undecodable_by_age ON undecodable (last_seen_ms, hash);

-- When submissions were created that a backfill met and the database did not take: it does not prove their
-- seconds.
CREATE TABLE unstored (
    backfill bigint NOT NULL REFERENCES backfills (id),
    created_utc bigint NOT NULL,
    PRIMARY KEY (backfill, created_utc)
);

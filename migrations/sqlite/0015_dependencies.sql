-- What each running process says of its dependencies: one row that shows that it can write, and one for
-- each dependency that fails.
CREATE TABLE dependencies (
    process TEXT NOT NULL,
    name TEXT NOT NULL,
    -- None where it works.
    class TEXT,
    error TEXT NOT NULL,
    remedy TEXT NOT NULL,
    since_at INTEGER NOT NULL,
    seen_ms INTEGER NOT NULL,
    PRIMARY KEY (process, name)
) WITHOUT ROWID;

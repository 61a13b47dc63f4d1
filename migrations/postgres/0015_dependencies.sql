-- What each running process says of its dependencies: one row that shows that it can write, and one for
-- each dependency that fails.
CREATE TABLE dependencies (
    process text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    -- None where it works.
    class text,
    error text NOT NULL,
    remedy text NOT NULL,
    since_at bigint NOT NULL,
    seen_ms bigint NOT NULL,
    PRIMARY KEY (process, name)
) WITH (fillfactor = 50);

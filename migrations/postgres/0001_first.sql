-- Identifiers and names are plain ASCII: the C collation compares them by bytes, and its lower()
-- changes the same letters as SQLite's and Rust's.

CREATE TABLE subreddits (
    name text COLLATE "C" PRIMARY KEY,
    state text NOT NULL CHECK (state IN ('active', 'paused', 'unavailable')),
    reason text,
    added_at bigint NOT NULL,
    covered_until bigint,
    seen_until bigint,
    posts_per_hour double precision NOT NULL DEFAULT 0,
    failures integer NOT NULL DEFAULT 0,
    next_poll_ms bigint NOT NULL,
    polled_at bigint,
    last_complete_at bigint,
    submissions bigint NOT NULL DEFAULT 0,
    last_submission_at bigint,
    claim_token bigint NOT NULL,
    claimed_by text,
    claimed_until_ms bigint
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);

CREATE INDEX subreddits_due ON subreddits (next_poll_ms) WHERE state <> 'paused';

-- No index on a column that a fetch changes, so that the update can stay on its page (HOT).
CREATE TABLE submissions (
    id text COLLATE "C" PRIMARY KEY,
    subreddit text COLLATE "C",
    author text,
    title text,
    selftext text,
    url text,
    permalink text,
    domain text,
    created_utc bigint NOT NULL,
    score bigint,
    num_comments bigint,
    upvote_ratio double precision,
    over_18 boolean,
    spoiler boolean,
    stickied boolean,
    locked boolean,
    is_self boolean,
    link_flair_text text,
    edited boolean,
    edited_at bigint,
    removed_by text,
    kind text NOT NULL,
    discovered_at bigint NOT NULL,
    fetched_at bigint,
    status text NOT NULL CHECK (status IN ('discovered', 'fetched', 'unavailable')),
    observed_ms bigint NOT NULL,
    raw_hash bytea NOT NULL,
    -- json, not jsonb: the text stays as it came, and \u0000 and lone surrogates are allowed.
    raw json NOT NULL
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);

CREATE INDEX submissions_by_subreddit ON submissions (lower(subreddit), created_utc);

-- A server without lz4 compresses with pglz instead; nothing else differs.
DO $$
BEGIN
    EXECUTE 'ALTER TABLE submissions ALTER COLUMN raw SET COMPRESSION lz4';
    EXECUTE 'ALTER TABLE submissions ALTER COLUMN selftext SET COMPRESSION lz4';
EXCEPTION WHEN OTHERS THEN
    RAISE NOTICE 'lz4 is not available: %', SQLERRM;
END
$$;

-- What still has to be fetched: a row comes with a discovery and goes with the fetch.
CREATE TABLE fetches (
    id text COLLATE "C" PRIMARY KEY,
    subreddit text COLLATE "C",
    priority smallint NOT NULL CHECK (priority BETWEEN 0 AND 2),
    due_ms bigint NOT NULL,
    fed_ms bigint,
    started boolean NOT NULL DEFAULT false,
    attempts integer NOT NULL DEFAULT 0,
    omissions integer NOT NULL DEFAULT 0,
    reason text,
    dead_at bigint
) WITH (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 2000,
    autovacuum_analyze_scale_factor = 0.05,
    autovacuum_vacuum_cost_delay = 0
);

CREATE INDEX fetches_waiting ON fetches (priority, due_ms) WHERE fed_ms IS NULL AND dead_at IS NULL;
CREATE INDEX fetches_fed ON fetches (fed_ms) WHERE fed_ms IS NOT NULL AND dead_at IS NULL;
CREATE INDEX fetches_dead ON fetches (dead_at) WHERE dead_at IS NOT NULL;

CREATE TABLE undecodable (
    hash bytea PRIMARY KEY,
    raw text NOT NULL,
    reason text NOT NULL,
    times bigint NOT NULL,
    first_seen_ms bigint NOT NULL,
    last_seen_ms bigint NOT NULL
);

CREATE TABLE poll_windows (
    subreddit text COLLATE "C" NOT NULL,
    claim_token bigint NOT NULL,
    window_start bigint NOT NULL,
    window_end bigint NOT NULL,
    started_at bigint NOT NULL,
    finished_at bigint NOT NULL,
    pages bigint NOT NULL,
    listed bigint NOT NULL,
    fresh bigint NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('complete', 'truncated', 'failed')),
    PRIMARY KEY (subreddit, claim_token)
);

CREATE INDEX poll_windows_by_time ON poll_windows (subreddit, finished_at);
CREATE INDEX poll_windows_by_age ON poll_windows (finished_at);

CREATE TABLE coverage (
    subreddit text COLLATE "C" NOT NULL,
    covered_start bigint NOT NULL,
    covered_end bigint NOT NULL,
    PRIMARY KEY (subreddit, covered_start),
    CHECK (covered_start < covered_end)
) WITH (fillfactor = 70);

CREATE TABLE gaps (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subreddit text COLLATE "C" NOT NULL,
    gap_start bigint NOT NULL,
    gap_end bigint NOT NULL,
    cause text NOT NULL,
    state text NOT NULL CHECK (state IN ('open', 'repaired', 'unrepairable')),
    opened_at bigint NOT NULL,
    repaired_by text,
    repaired_at bigint,
    CHECK (gap_start < gap_end)
);

CREATE INDEX gaps_by_subreddit ON gaps (subreddit, gap_start);
CREATE INDEX gaps_open ON gaps (subreddit, gap_start) WHERE state = 'open';

CREATE TABLE leases (
    name text COLLATE "C" PRIMARY KEY,
    holder text NOT NULL,
    until_ms bigint NOT NULL
);

-- How many rows there are of each kind, kept by the transactions that change them, because counting
-- millions of rows takes seconds. Several slots, so that writers seldom wait for one another.
CREATE TABLE counters (
    slot integer PRIMARY KEY,
    discovered bigint NOT NULL DEFAULT 0,
    fetched bigint NOT NULL DEFAULT 0,
    unavailable bigint NOT NULL DEFAULT 0,
    undecodable bigint NOT NULL DEFAULT 0,
    fetches bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

INSERT INTO counters (slot) SELECT generate_series(0, 15);

-- Booleans are 0 and 1. Tables that are looked up by a short key alone are kept in that key's order.

CREATE TABLE subreddits (
    name TEXT NOT NULL PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('active', 'paused', 'unavailable')),
    reason TEXT,
    added_at INTEGER NOT NULL,
    covered_until INTEGER,
    seen_until INTEGER,
    posts_per_hour REAL NOT NULL DEFAULT 0,
    failures INTEGER NOT NULL DEFAULT 0,
    next_poll_ms INTEGER NOT NULL,
    polled_at INTEGER,
    last_complete_at INTEGER,
    submissions INTEGER NOT NULL DEFAULT 0,
    last_submission_at INTEGER,
    claim_token INTEGER NOT NULL,
    claimed_by TEXT,
    claimed_until_ms INTEGER
) WITHOUT ROWID;

CREATE INDEX subreddits_due ON subreddits (next_poll_ms) WHERE state <> 'paused';

CREATE TABLE submissions (
    id TEXT NOT NULL PRIMARY KEY,
    subreddit TEXT,
    author TEXT,
    title TEXT,
    selftext TEXT,
    url TEXT,
    permalink TEXT,
    domain TEXT,
    created_utc INTEGER NOT NULL,
    score INTEGER,
    num_comments INTEGER,
    upvote_ratio REAL,
    over_18 INTEGER,
    spoiler INTEGER,
    stickied INTEGER,
    locked INTEGER,
    is_self INTEGER,
    link_flair_text TEXT,
    edited INTEGER,
    edited_at INTEGER,
    removed_by TEXT,
    kind TEXT NOT NULL,
    discovered_at INTEGER NOT NULL,
    fetched_at INTEGER,
    status TEXT NOT NULL CHECK (status IN ('discovered', 'fetched', 'unavailable')),
    observed_ms INTEGER NOT NULL,
    raw_hash BLOB NOT NULL,
    raw TEXT NOT NULL
);

CREATE INDEX submissions_by_subreddit ON submissions (lower(subreddit), created_utc);

-- What still has to be fetched: a row comes with a discovery and goes with the fetch.
CREATE TABLE fetches (
    id TEXT NOT NULL PRIMARY KEY,
    subreddit TEXT,
    priority INTEGER NOT NULL CHECK (priority BETWEEN 0 AND 2),
    due_ms INTEGER NOT NULL,
    fed_ms INTEGER,
    started INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    omissions INTEGER NOT NULL DEFAULT 0,
    reason TEXT,
    dead_at INTEGER
) WITHOUT ROWID;

CREATE INDEX fetches_waiting ON fetches (priority, due_ms) WHERE fed_ms IS NULL AND dead_at IS NULL;
CREATE INDEX fetches_fed ON fetches (fed_ms) WHERE fed_ms IS NOT NULL AND dead_at IS NULL;
CREATE INDEX fetches_dead ON fetches (dead_at) WHERE dead_at IS NOT NULL;

CREATE TABLE undecodable (
    hash BLOB NOT NULL PRIMARY KEY,
    raw TEXT NOT NULL,
    reason TEXT NOT NULL,
    times INTEGER NOT NULL,
    first_seen_ms INTEGER NOT NULL,
    last_seen_ms INTEGER NOT NULL
);

CREATE TABLE poll_windows (
    subreddit TEXT NOT NULL,
    claim_token INTEGER NOT NULL,
    window_start INTEGER NOT NULL,
    window_end INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    finished_at INTEGER NOT NULL,
    pages INTEGER NOT NULL,
    listed INTEGER NOT NULL,
    fresh INTEGER NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome IN ('complete', 'truncated', 'failed')),
    PRIMARY KEY (subreddit, claim_token)
) WITHOUT ROWID;

CREATE INDEX poll_windows_by_time ON poll_windows (subreddit, finished_at);
CREATE INDEX poll_windows_by_age ON poll_windows (finished_at);

CREATE TABLE coverage (
    subreddit TEXT NOT NULL,
    covered_start INTEGER NOT NULL,
    covered_end INTEGER NOT NULL,
    PRIMARY KEY (subreddit, covered_start),
    CHECK (covered_start < covered_end)
) WITHOUT ROWID;

CREATE TABLE gaps (
    id INTEGER PRIMARY KEY,
    subreddit TEXT NOT NULL,
    gap_start INTEGER NOT NULL,
    gap_end INTEGER NOT NULL,
    cause TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'repaired', 'unrepairable')),
    opened_at INTEGER NOT NULL,
    repaired_by TEXT,
    repaired_at INTEGER,
    CHECK (gap_start < gap_end)
);

CREATE INDEX gaps_by_subreddit ON gaps (subreddit, gap_start);
CREATE INDEX gaps_open ON gaps (subreddit, gap_start) WHERE state = 'open';

CREATE TABLE leases (
    name TEXT NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    until_ms INTEGER NOT NULL
) WITHOUT ROWID;

-- How many rows there are of each kind, kept by the transactions that change them, because counting
-- millions of rows takes seconds. One slot: there is one writer at a time.
CREATE TABLE counters (
    slot INTEGER PRIMARY KEY,
    discovered INTEGER NOT NULL DEFAULT 0,
    fetched INTEGER NOT NULL DEFAULT 0,
    unavailable INTEGER NOT NULL DEFAULT 0,
    undecodable INTEGER NOT NULL DEFAULT 0,
    fetches INTEGER NOT NULL DEFAULT 0
);

INSERT INTO counters (slot) VALUES (0);

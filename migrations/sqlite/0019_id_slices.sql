-- Slices of backfills from ids: which ids are asked for (`end_id` is not one of them; below `next_id` all were),
-- whether they hold all of the slice's time, how many of them were given out, and how many of those were created
-- far from their neighbours. The rows of a slice go when it is done.
CREATE TABLE id_slices (
    slice INTEGER PRIMARY KEY,
    first_id INTEGER NOT NULL,
    end_id INTEGER NOT NULL,
    next_id INTEGER NOT NULL,
    whole INTEGER NOT NULL,
    given_out INTEGER NOT NULL DEFAULT 0,
    strays INTEGER NOT NULL DEFAULT 0
);

-- Ids of a slice that were left out, how often they were asked for again, and when last.
CREATE TABLE id_slice_absent (
    slice INTEGER NOT NULL,
    id INTEGER NOT NULL,
    tries INTEGER NOT NULL,
    asked_ms INTEGER NOT NULL,
    PRIMARY KEY (slice, id)
);

-- Watched subreddits whose gaps a slice is to close: of each, all that was given out is stored.
CREATE TABLE id_slice_members (
    slice INTEGER NOT NULL,
    subreddit TEXT NOT NULL,
    PRIMARY KEY (slice, subreddit)
);

-- Slices of backfills from ids: which ids are asked for (`end_id` is not one of them; below `next_id` all were),
-- whether they hold all of the slice's time, how many of them were given out, and how many of those were created
-- far from their neighbours. The rows of a slice go when it is done.
CREATE TABLE id_slices (
    slice bigint PRIMARY KEY,
    first_id bigint NOT NULL,
    end_id bigint NOT NULL,
    next_id bigint NOT NULL,
    whole bigint NOT NULL,
    given_out bigint NOT NULL DEFAULT 0,
    strays bigint NOT NULL DEFAULT 0
);

-- Ids of a slice that were left out, how often they were asked for again, and when last.
CREATE TABLE id_slice_absent (
    slice bigint NOT NULL,
    id bigint NOT NULL,
    tries bigint NOT NULL,
    asked_ms bigint NOT NULL,
    PRIMARY KEY (slice, id)
);

-- Watched subreddits whose gaps a slice is to close: of each, all that was given out is stored.
CREATE TABLE id_slice_members (
    slice bigint NOT NULL,
    subreddit text COLLATE "C" NOT NULL,
    PRIMARY KEY (slice, subreddit)
);

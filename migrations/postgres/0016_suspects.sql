-- Requests that failed while others succeeded: how often the one that a fetch was in was halved since,
-- and whether a subreddit is listed alone because the listings that it shared failed.
ALTER TABLE fetches ADD COLUMN suspicion integer NOT NULL DEFAULT 0;
ALTER TABLE subreddits ADD COLUMN suspect boolean NOT NULL DEFAULT false;

-- How many submissions a slice holds at least, by the samples that its backfill was planned with: one that
-- shows far fewer proves nothing.
ALTER TABLE slices ADD COLUMN expected BIGINT;

-- When the whole listing is walked next; null before the first time.
ALTER TABLE subreddits ADD COLUMN next_sweep_ms bigint;

-- When the listing was last walked again for the gap, why the gap is open still, and when it is
-- walked for next: null once the listing no longer reaches it.
ALTER TABLE gaps ADD COLUMN tried_at bigint;
ALTER TABLE gaps ADD COLUMN reason text;
ALTER TABLE gaps ADD COLUMN next_try_at bigint;

CREATE INDEX gaps_due ON gaps (next_try_at) WHERE state = 'open';

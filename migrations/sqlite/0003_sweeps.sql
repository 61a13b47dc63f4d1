-- When the whole listing is walked next; null before the first time.
ALTER TABLE subreddits ADD COLUMN next_sweep_ms INTEGER;

-- When the listing was last walked again for the gap, why the gap is open still, and when it is
-- walked for next: null once the listing no longer reaches it.
ALTER TABLE gaps ADD COLUMN tried_at INTEGER;
ALTER TABLE gaps ADD COLUMN reason TEXT;
ALTER TABLE gaps ADD COLUMN next_try_at INTEGER;

CREATE INDEX gaps_due ON gaps (next_try_at) WHERE state = 'open';

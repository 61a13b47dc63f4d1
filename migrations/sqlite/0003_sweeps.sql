-- When the whole listing is walked next; null before the first time.
ALTER TABLE subreddits ADD COLUMN next_sweep_ms INTEGER;

-- When a walk last tried to close the gap, and why it is open still.
ALTER TABLE gaps ADD COLUMN tried_at INTEGER;
ALTER TABLE gaps ADD COLUMN reason TEXT;

-- What was set aside is told of, also where all else of its backfill is done.
CREATE INDEX slices_failed ON slices (backfill) WHERE state = 'failed';

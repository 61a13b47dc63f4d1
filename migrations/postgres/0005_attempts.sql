-- Who tries a fetch now, and since when; and the newest attempts that failed, a JSON array.
ALTER TABLE fetches ADD COLUMN started_by text;
ALTER TABLE fetches ADD COLUMN started_ms bigint;
ALTER TABLE fetches ADD COLUMN history jsonb;

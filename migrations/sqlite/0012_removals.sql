-- What a removal takes is kept: title, text, author, address and raw are those of the last complete copy, the
-- rest of a row is as it was seen last.
--
-- content_ms: when that copy was seen, where it is not what was seen last (observed_ms).
-- completeness: how complete it is, as the program counts it; 16 shows no removal; null in rows of older
-- versions until they are written again.
-- removed_ms: when it was last seen removed; null while what was seen last shows no removal.
-- removed_raw: the object that was seen last, where it is not the one in raw; removed_hash is its hash.
ALTER TABLE submissions ADD COLUMN content_ms INTEGER;
ALTER TABLE submissions ADD COLUMN completeness INTEGER;
ALTER TABLE submissions ADD COLUMN removed_ms INTEGER;
ALTER TABLE submissions ADD COLUMN removed_hash BLOB;
ALTER TABLE submissions ADD COLUMN removed_raw TEXT;

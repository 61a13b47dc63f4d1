-- What the holder of a lease tells other processes of its work, in JSON.
ALTER TABLE leases ADD COLUMN state text;

-- Until when a heartbeat that names no attempts renews this lease (agents of the reference system). NULL: for ever.
ALTER TABLE leases ADD COLUMN renewable_until INTEGER;

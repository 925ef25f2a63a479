-- What is kept of what is over, and for how long.

-- the history of nodes, which goes by its age
CREATE INDEX events_apart ON events (at) WHERE job_seq IS NULL;
CREATE INDEX nodes_removed ON nodes (removed_at) WHERE removed_at IS NOT NULL;

-- uploads that are gone, until their bytes are too: a crash in between leaves no file that nobody knows
CREATE TABLE removed_uploads (
    id TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;

ALTER TABLE attempts ADD COLUMN progress TEXT; -- how far it was when it ended, if it did not end well
-- 1: it was lost, and its agent turned out to live: it does not count as a crash
ALTER TABLE attempts ADD COLUMN excused INTEGER NOT NULL DEFAULT 0;

-- The queue. Times are microseconds since 1970 by this machine's clock; states are those of ffrtmp.domain.states.
--
-- No foreign keys between these tables: rows of a job are written and removed only by functions that hold the job, and the checks would
-- cost a look-up per row on the hottest paths.

CREATE TABLE jobs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, -- never used again, so that a number never names another job
    id TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL,
    scenario TEXT NOT NULL,
    confidence TEXT NOT NULL,
    engine TEXT NOT NULL,
    queue TEXT NOT NULL,
    priority TEXT NOT NULL,
    retry_of TEXT,
    paused INTEGER NOT NULL DEFAULT 0,
    cancel_requested INTEGER NOT NULL DEFAULT 0,
    keyed INTEGER NOT NULL, -- submitted with an idempotency key
    max_retries INTEGER NOT NULL,
    retry_count INTEGER NOT NULL DEFAULT 0,
    task_count INTEGER NOT NULL,
    head_start_us INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    started_at INTEGER,
    finished_at INTEGER,
    node_id TEXT,
    failure TEXT,
    result_attempt TEXT -- the attempt whose result is the job's
) STRICT;
-- each of these ends in seq, the row's own key: one filter, newest first, is one walk along one index
CREATE INDEX jobs_state ON jobs (state);
CREATE INDEX jobs_queue ON jobs (queue);
CREATE INDEX jobs_priority ON jobs (priority);
CREATE INDEX jobs_engine ON jobs (engine);
CREATE INDEX jobs_scenario ON jobs (scenario);
CREATE INDEX jobs_node ON jobs (node_id) WHERE node_id IS NOT NULL;
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;

-- what is written once and read seldom, apart so that the rows above stay narrow
CREATE TABLE job_docs (
    job_seq INTEGER PRIMARY KEY,
    parameters TEXT NOT NULL,
    spec TEXT NOT NULL,
    tags TEXT NOT NULL
) STRICT;

CREATE TABLE job_tags (
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    job_seq INTEGER NOT NULL,
    PRIMARY KEY (name, value, job_seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX job_tags_job ON job_tags (job_seq);

CREATE TABLE tasks (
    job_seq INTEGER NOT NULL,
    position INTEGER NOT NULL, -- its index in the submission
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    class_id INTEGER NOT NULL,
    sort_key INTEGER NOT NULL,
    ready_at INTEGER NOT NULL,
    pending_deps INTEGER NOT NULL,
    failures INTEGER NOT NULL DEFAULT 0,
    crashes INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    run_at INTEGER,
    own_payload INTEGER NOT NULL, -- 0: its payload is the job's spec
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (job_seq, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE task_payloads (
    job_seq INTEGER NOT NULL,
    position INTEGER NOT NULL,
    payload TEXT NOT NULL,
    PRIMARY KEY (job_seq, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE task_deps (
    job_seq INTEGER NOT NULL,
    depends_on INTEGER NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (job_seq, depends_on, position)
) STRICT, WITHOUT ROWID;

-- the queue proper: queued tasks of jobs that are neither paused nor asked to end; a lease deletes the row
CREATE TABLE ready (
    class_id INTEGER NOT NULL,
    sort_key INTEGER NOT NULL,
    job_seq INTEGER NOT NULL,
    position INTEGER NOT NULL,
    ready_at INTEGER NOT NULL,
    task_id TEXT NOT NULL,
    PRIMARY KEY (class_id, sort_key, job_seq, position)
) STRICT, WITHOUT ROWID;

-- retrying tasks of such jobs, by the time they come back
CREATE TABLE delayed (
    run_at INTEGER NOT NULL,
    job_seq INTEGER NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (run_at, job_seq, position)
) STRICT, WITHOUT ROWID;

-- live attempts
CREATE TABLE leases (
    attempt_id TEXT PRIMARY KEY,
    job_seq INTEGER NOT NULL,
    position INTEGER NOT NULL,
    task_id TEXT NOT NULL,
    node_id TEXT NOT NULL,
    incarnation TEXT NOT NULL,
    number INTEGER NOT NULL,
    state TEXT NOT NULL, -- assigned, running, publishing
    paused INTEGER NOT NULL DEFAULT 0, -- as the agent says
    expires_at INTEGER NOT NULL,
    progress TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX leases_node ON leases (node_id);
CREATE INDEX leases_job ON leases (job_seq);

CREATE TABLE attempts (
    job_seq INTEGER NOT NULL,
    id TEXT NOT NULL UNIQUE,
    task_id TEXT NOT NULL,
    node_id TEXT NOT NULL,
    incarnation TEXT NOT NULL,
    number INTEGER NOT NULL,
    state TEXT NOT NULL,
    assigned_at INTEGER NOT NULL,
    started_at INTEGER,
    finished_at INTEGER,
    failure TEXT,
    result TEXT,
    PRIMARY KEY (job_seq, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE attempt_logs (
    job_seq INTEGER NOT NULL,
    attempt_id TEXT NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (job_seq, attempt_id)
) STRICT;

-- what an attempt was about to publish: its successor must be able to tell that file from a stranger's
CREATE TABLE publications (
    job_seq INTEGER NOT NULL,
    task_id TEXT NOT NULL,
    attempt_id TEXT NOT NULL,
    outputs TEXT NOT NULL,
    PRIMARY KEY (job_seq, task_id, attempt_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE classes (
    id INTEGER PRIMARY KEY,
    requires TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE nodes (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    address TEXT NOT NULL,
    type TEXT NOT NULL,
    cpu_threads INTEGER NOT NULL,
    cpu_model TEXT NOT NULL,
    has_gpu INTEGER NOT NULL,
    gpu_type TEXT NOT NULL,
    ram_total_bytes INTEGER NOT NULL,
    labels TEXT NOT NULL,
    capabilities TEXT NOT NULL,
    slots INTEGER NOT NULL,
    incarnation TEXT NOT NULL,
    version TEXT NOT NULL,
    ttl_us INTEGER NOT NULL,
    heartbeat_interval_us INTEGER NOT NULL,
    credential_sha256 TEXT NOT NULL DEFAULT '',
    draining INTEGER NOT NULL DEFAULT 0, -- a person asked
    stopping INTEGER NOT NULL DEFAULT 0, -- the agent asked
    lost INTEGER NOT NULL DEFAULT 0, -- its silence was noted in an event
    registered_at INTEGER NOT NULL,
    last_heartbeat INTEGER NOT NULL,
    removed_at INTEGER
) STRICT;
CREATE UNIQUE INDEX nodes_name ON nodes (name) WHERE removed_at IS NULL;

CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    job_seq INTEGER,
    task_id TEXT,
    attempt_id TEXT,
    node_id TEXT,
    data TEXT NOT NULL
) STRICT;
CREATE INDEX events_job ON events (job_seq) WHERE job_seq IS NOT NULL;
CREATE INDEX events_node ON events (node_id) WHERE node_id IS NOT NULL;

CREATE TABLE idempotency (
    key TEXT PRIMARY KEY,
    body_sha256 TEXT NOT NULL,
    job_seq INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_job ON idempotency (job_seq);

-- answers of lease calls, so that a repeated request gets the same grants
CREATE TABLE lease_requests (
    node_id TEXT NOT NULL,
    request_id TEXT NOT NULL,
    attempt_ids TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (request_id, node_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX lease_requests_age ON lease_requests (created_at);

CREATE TABLE uploads (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    complete INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX uploads_age ON uploads (created_at);

CREATE TABLE upload_refs (
    upload_id TEXT NOT NULL,
    job_seq INTEGER NOT NULL,
    PRIMARY KEY (upload_id, job_seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX upload_refs_job ON upload_refs (job_seq);

-- sums kept beside the rows they count; one row per name and writer, so that writers never wait for one another
CREATE TABLE counters (
    name TEXT NOT NULL,
    shard INTEGER NOT NULL,
    value INTEGER NOT NULL,
    PRIMARY KEY (name, shard)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER jobs_terminal BEFORE UPDATE OF state ON jobs
WHEN OLD.state IN ('canceled', 'completed', 'failed', 'rejected', 'timed_out') AND NEW.state <> OLD.state
BEGIN SELECT RAISE(ABORT, 'a job never leaves a terminal state'); END;

CREATE TRIGGER tasks_terminal BEFORE UPDATE OF state ON tasks
WHEN OLD.state IN ('canceled', 'done', 'failed', 'rejected', 'timed_out') AND NEW.state <> OLD.state
BEGIN SELECT RAISE(ABORT, 'a task never leaves a terminal state'); END;

CREATE TRIGGER attempts_terminal BEFORE UPDATE OF state ON attempts
WHEN OLD.state IN ('canceled', 'done', 'failed', 'lost', 'returned', 'timed_out') AND NEW.state <> OLD.state
BEGIN SELECT RAISE(ABORT, 'an attempt never leaves a terminal state'); END;

CREATE TRIGGER events_append_only BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;

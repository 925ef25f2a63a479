-- The queue. Times are microseconds since 1970 by the database's clock; states are those of ffrtmp.domain.states.
--
-- No foreign keys between these tables: rows of a job are written and removed only by functions that hold the job, and the checks would
-- cost a look-up per row on the hottest paths.

CREATE TABLE jobs (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- never used again, so that a number never names another job
    id text COLLATE "C" NOT NULL UNIQUE,
    state text COLLATE "C" NOT NULL,
    scenario text COLLATE "C" NOT NULL,
    confidence text COLLATE "C" NOT NULL,
    engine text COLLATE "C" NOT NULL,
    queue text COLLATE "C" NOT NULL,
    priority text COLLATE "C" NOT NULL,
    retry_of text COLLATE "C",
    paused bigint NOT NULL DEFAULT 0,
    cancel_requested bigint NOT NULL DEFAULT 0,
    keyed bigint NOT NULL, -- submitted with an idempotency key
    max_retries bigint NOT NULL,
    retry_count bigint NOT NULL DEFAULT 0,
    task_count bigint NOT NULL,
    head_start_us bigint NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    started_at bigint,
    finished_at bigint,
    node_id text COLLATE "C",
    failure text,
    result_attempt text COLLATE "C" -- the attempt whose result is the job's
);
-- each of these ends in seq: one filter, newest first, is one walk along one index
CREATE INDEX jobs_state ON jobs (state, seq);
CREATE INDEX jobs_queue ON jobs (queue, seq);
CREATE INDEX jobs_priority ON jobs (priority, seq);
CREATE INDEX jobs_engine ON jobs (engine, seq);
CREATE INDEX jobs_scenario ON jobs (scenario, seq);
CREATE INDEX jobs_node ON jobs (node_id, seq) WHERE node_id IS NOT NULL;
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;

-- what is written once and read seldom, apart so that the rows above stay narrow
CREATE TABLE job_docs (
    job_seq bigint PRIMARY KEY,
    parameters text NOT NULL,
    spec text NOT NULL,
    tags text NOT NULL
);

CREATE TABLE job_tags (
    name text COLLATE "C" NOT NULL,
    value text COLLATE "C" NOT NULL,
    job_seq bigint NOT NULL,
    PRIMARY KEY (name, value, job_seq)
);
CREATE INDEX job_tags_job ON job_tags (job_seq);

CREATE TABLE tasks (
    job_seq bigint NOT NULL,
    position bigint NOT NULL, -- its index in the submission
    id text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL,
    class_id bigint NOT NULL,
    sort_key bigint NOT NULL,
    ready_at bigint NOT NULL,
    pending_deps bigint NOT NULL,
    failures bigint NOT NULL DEFAULT 0,
    crashes bigint NOT NULL DEFAULT 0,
    attempts bigint NOT NULL DEFAULT 0,
    run_at bigint,
    own_payload bigint NOT NULL, -- 0: its payload is the job's spec
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    PRIMARY KEY (job_seq, position)
);

CREATE TABLE task_payloads (
    job_seq bigint NOT NULL,
    position bigint NOT NULL,
    payload text NOT NULL,
    PRIMARY KEY (job_seq, position)
);

CREATE TABLE task_deps (
    job_seq bigint NOT NULL,
    depends_on bigint NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (job_seq, depends_on, position)
);

-- the queue proper: queued tasks of jobs that are neither paused nor asked to end; a lease deletes the row
CREATE TABLE ready (
    class_id bigint NOT NULL,
    sort_key bigint NOT NULL,
    job_seq bigint NOT NULL,
    position bigint NOT NULL,
    ready_at bigint NOT NULL,
    task_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (class_id, sort_key, job_seq, position)
);

-- retrying tasks of such jobs, by the time they come back
CREATE TABLE delayed (
    run_at bigint NOT NULL,
    job_seq bigint NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (run_at, job_seq, position)
);

-- live attempts
CREATE TABLE leases (
    attempt_id text COLLATE "C" PRIMARY KEY,
    job_seq bigint NOT NULL,
    position bigint NOT NULL,
    task_id text COLLATE "C" NOT NULL,
    node_id text COLLATE "C" NOT NULL,
    incarnation text COLLATE "C" NOT NULL,
    number bigint NOT NULL,
    state text COLLATE "C" NOT NULL, -- assigned, running, publishing
    paused bigint NOT NULL DEFAULT 0, -- as the agent says
    expires_at bigint NOT NULL,
    progress text
);
CREATE INDEX leases_node ON leases (node_id);
CREATE INDEX leases_job ON leases (job_seq);

CREATE TABLE attempts (
    job_seq bigint NOT NULL,
    id text COLLATE "C" NOT NULL UNIQUE,
    task_id text COLLATE "C" NOT NULL,
    node_id text COLLATE "C" NOT NULL,
    incarnation text COLLATE "C" NOT NULL,
    number bigint NOT NULL,
    state text COLLATE "C" NOT NULL,
    assigned_at bigint NOT NULL,
    started_at bigint,
    finished_at bigint,
    failure text,
    result text,
    PRIMARY KEY (job_seq, id)
);

CREATE TABLE attempt_logs (
    job_seq bigint NOT NULL,
    attempt_id text COLLATE "C" NOT NULL,
    text text NOT NULL,
    PRIMARY KEY (job_seq, attempt_id)
);

-- what an attempt was about to publish: its successor must be able to tell that file from a stranger's
CREATE TABLE publications (
    job_seq bigint NOT NULL,
    task_id text COLLATE "C" NOT NULL,
    attempt_id text COLLATE "C" NOT NULL,
    outputs text NOT NULL,
    PRIMARY KEY (job_seq, task_id, attempt_id)
);

CREATE TABLE classes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    requires text COLLATE "C" NOT NULL UNIQUE
);

CREATE TABLE nodes (
    id text COLLATE "C" PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    address text COLLATE "C" NOT NULL,
    type text COLLATE "C" NOT NULL,
    cpu_threads bigint NOT NULL,
    cpu_model text COLLATE "C" NOT NULL,
    has_gpu bigint NOT NULL,
    gpu_type text COLLATE "C" NOT NULL,
    ram_total_bytes bigint NOT NULL,
    labels text NOT NULL,
    capabilities text NOT NULL,
    slots bigint NOT NULL,
    incarnation text COLLATE "C" NOT NULL,
    version text COLLATE "C" NOT NULL,
    ttl_us bigint NOT NULL,
    heartbeat_interval_us bigint NOT NULL,
    credential_sha256 text COLLATE "C" NOT NULL DEFAULT '',
    draining bigint NOT NULL DEFAULT 0, -- a person asked
    stopping bigint NOT NULL DEFAULT 0, -- the agent asked
    lost bigint NOT NULL DEFAULT 0, -- its silence was noted in an event
    registered_at bigint NOT NULL,
    last_heartbeat bigint NOT NULL,
    removed_at bigint
);
CREATE UNIQUE INDEX nodes_name ON nodes (name) WHERE removed_at IS NULL;

CREATE TABLE events (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at bigint NOT NULL,
    kind text COLLATE "C" NOT NULL,
    job_seq bigint,
    task_id text COLLATE "C",
    attempt_id text COLLATE "C",
    node_id text COLLATE "C",
    data text NOT NULL,
    -- Rows become visible when their transaction commits, not in the order of seq; those of transactions below the oldest one still
    -- running are all there, so a reader that goes by (xid, seq) and stops there skips nothing.
    xid xid8 NOT NULL DEFAULT pg_current_xact_id()
);
CREATE INDEX events_order ON events (xid, seq);
CREATE INDEX events_job ON events (job_seq, seq) WHERE job_seq IS NOT NULL;
CREATE INDEX events_node ON events (node_id, xid, seq) WHERE node_id IS NOT NULL;

CREATE TABLE idempotency (
    key text COLLATE "C" PRIMARY KEY,
    body_sha256 text COLLATE "C" NOT NULL,
    job_seq bigint NOT NULL
);
CREATE INDEX idempotency_job ON idempotency (job_seq);

-- answers of lease calls, so that a repeated request gets the same grants
CREATE TABLE lease_requests (
    node_id text COLLATE "C" NOT NULL,
    request_id text COLLATE "C" NOT NULL,
    attempt_ids text NOT NULL,
    created_at bigint NOT NULL,
    PRIMARY KEY (request_id, node_id)
);
CREATE INDEX lease_requests_age ON lease_requests (created_at);

CREATE TABLE uploads (
    id text COLLATE "C" PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    size_bytes bigint NOT NULL,
    sha256 text COLLATE "C" NOT NULL,
    complete bigint NOT NULL,
    created_at bigint NOT NULL
);
CREATE INDEX uploads_age ON uploads (created_at);

CREATE TABLE upload_refs (
    upload_id text COLLATE "C" NOT NULL,
    job_seq bigint NOT NULL,
    PRIMARY KEY (upload_id, job_seq)
);
CREATE INDEX upload_refs_job ON upload_refs (job_seq);

-- sums kept beside the rows they count; one row per name and writer, so that writers never wait for one another
CREATE TABLE counters (
    name text COLLATE "C" NOT NULL,
    shard bigint NOT NULL,
    value bigint NOT NULL,
    PRIMARY KEY (name, shard)
);

-- rows come and go here: clean up early, and leave room for updates in place
ALTER TABLE ready SET (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE delayed SET (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE leases SET (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0, fillfactor = 50);
ALTER TABLE counters SET (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000, fillfactor = 50);

CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'check_violation'; END $$;

CREATE TRIGGER jobs_terminal BEFORE UPDATE OF state ON jobs FOR EACH ROW
WHEN (OLD.state IN ('canceled', 'completed', 'failed', 'rejected', 'timed_out') AND NEW.state <> OLD.state)
EXECUTE FUNCTION refuse('a job never leaves a terminal state');

CREATE TRIGGER tasks_terminal BEFORE UPDATE OF state ON tasks FOR EACH ROW
WHEN (OLD.state IN ('canceled', 'done', 'failed', 'rejected', 'timed_out') AND NEW.state <> OLD.state)
EXECUTE FUNCTION refuse('a task never leaves a terminal state');

CREATE TRIGGER attempts_terminal BEFORE UPDATE OF state ON attempts FOR EACH ROW
WHEN (OLD.state IN ('canceled', 'done', 'failed', 'lost', 'returned', 'timed_out') AND NEW.state <> OLD.state)
EXECUTE FUNCTION refuse('an attempt never leaves a terminal state');

CREATE TRIGGER events_append_only BEFORE UPDATE ON events FOR EACH ROW EXECUTE FUNCTION refuse('events are append-only');

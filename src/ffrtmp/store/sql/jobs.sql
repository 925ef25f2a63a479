-- name: jobs_by_seq
SELECT seq, id, state, queue, engine, paused, cancel_requested, max_retries, retry_count, task_count, head_start_us,
       started_at, finished_at, node_id, failure, result_attempt
FROM jobs WHERE seq {{in seqs bigint}} ORDER BY seq {{lock}};

-- name: jobs_by_seq_free
SELECT seq, id, state, queue, engine, paused, cancel_requested, max_retries, retry_count, task_count, head_start_us,
       started_at, finished_at, node_id, failure, result_attempt
FROM jobs WHERE seq {{in seqs bigint}} ORDER BY seq {{lock_free}};

-- name: job_refs
SELECT id, seq FROM jobs WHERE id {{in ids text}} OR seq {{in seqs bigint}};

-- name: job_doc_insert
INSERT INTO job_docs (job_seq, parameters, spec, tags) VALUES (:seq, :parameters, :spec, :tags);

-- name: job_tag_insert
INSERT INTO job_tags (name, value, job_seq) VALUES (:name, :value, :job_seq);

-- name: job_update
-- The state it is changed from was read under the job's lock and checked against the transition table.
UPDATE jobs SET state = :state, paused = :paused, cancel_requested = :cancel_requested, retry_count = :retry_count,
                started_at = :started_at, updated_at = :updated_at
WHERE seq = :seq AND state = :was;

-- name: job_assign
UPDATE jobs SET state = :state, node_id = :node_id, updated_at = :updated_at WHERE seq = :seq AND state = :was;

-- name: job_finish
UPDATE jobs SET state = :state, paused = :paused, cancel_requested = :cancel_requested, retry_count = :retry_count,
                started_at = :started_at, updated_at = :updated_at, finished_at = :finished_at, failure = :failure_text,
                result_attempt = :result_attempt
WHERE seq = :seq AND state = :was;

-- name: tasks_of_jobs
SELECT job_seq, position, id, state, class_id, sort_key, ready_at, pending_deps, failures, crashes, attempts, run_at,
       own_payload
FROM tasks WHERE job_seq {{in seqs bigint}} ORDER BY job_seq, position;

-- name: task_insert
INSERT INTO tasks (job_seq, position, id, kind, state, class_id, sort_key, ready_at, pending_deps, own_payload,
                   created_at, updated_at)
VALUES (:job_seq, :position, :id, :kind, :state, :class_id, :sort_key, :ready_at, :pending_deps, :own_payload, :at, :at);

-- name: task_payload_insert
INSERT INTO task_payloads (job_seq, position, payload) VALUES (:job_seq, :position, :payload);

-- name: task_update
UPDATE tasks SET state = :state, sort_key = :sort_key, ready_at = :ready_at, pending_deps = :pending_deps,
                 failures = :failures, crashes = :crashes, attempts = :attempts, run_at = :run_at, updated_at = :updated_at
WHERE job_seq = :job_seq AND position = :position AND state = :was;

-- name: task_dep_insert
INSERT INTO task_deps (job_seq, depends_on, position) VALUES (:job_seq, :depends_on, :position);

-- name: dependents
SELECT position FROM task_deps WHERE job_seq = :job_seq AND depends_on = :depends_on;

-- name: ready_insert
INSERT INTO ready (class_id, sort_key, job_seq, position, ready_at, task_id)
VALUES (:class_id, :sort_key, :job_seq, :position, :ready_at, :id);

-- name: ready_delete
DELETE FROM ready WHERE class_id = :class_id AND sort_key = :sort_key AND job_seq = :job_seq AND position = :position;

-- name: delayed_insert
INSERT INTO delayed (run_at, job_seq, position) VALUES (:run_at, :job_seq, :position);

-- name: delayed_delete
DELETE FROM delayed WHERE run_at = :run_at AND job_seq = :job_seq AND position = :position;

-- name: idempotency_known
SELECT key, body_sha256, job_seq FROM idempotency WHERE key {{in keys text}};

-- name: idempotency_insert
INSERT INTO idempotency (key, body_sha256, job_seq) VALUES (:key, :body_sha256, :job_seq);

-- name: classes_known
SELECT requires, id FROM classes WHERE requires {{in keys text}};

-- name: class_insert
INSERT INTO classes (requires) VALUES (:requires) ON CONFLICT (requires) DO NOTHING;

-- name: event_insert
INSERT INTO events (at, kind, job_seq, task_id, attempt_id, node_id, data)
VALUES (:at, :kind, :job_seq, :task_id, :attempt_id, :node_id, :data);

-- name: counter_add
INSERT INTO counters (name, shard, value) VALUES (:name, :shard, :value)
ON CONFLICT (name, shard) DO UPDATE SET value = counters.value + excluded.value;

-- name: leases_of_jobs
SELECT attempt_id, job_seq, position, task_id, node_id, incarnation, number, state, paused, expires_at, progress,
       renewable_until
FROM leases WHERE job_seq {{in seqs bigint}} ORDER BY attempt_id;

-- name: lease_jobs
SELECT job_seq FROM leases WHERE attempt_id {{in ids text}};

-- name: lease_jobs_of_nodes
SELECT job_seq FROM leases WHERE node_id {{in ids text}};

-- name: leases_expired
SELECT job_seq, expires_at FROM leases WHERE expires_at < :now ORDER BY expires_at LIMIT :count;

-- name: lease_insert
INSERT INTO leases (attempt_id, job_seq, position, task_id, node_id, incarnation, number, state, expires_at, renewable_until)
VALUES (:attempt_id, :job_seq, :position, :task_id, :node_id, :incarnation, :number, :state, :expires_at, :renewable_until);

-- name: lease_renew
UPDATE leases SET state = :state, paused = :paused, expires_at = :expires_at, progress = coalesce(:progress, progress)
WHERE attempt_id = :attempt_id;

-- name: lease_asked_about
UPDATE leases SET renewable_until = :renewable_until WHERE attempt_id = :attempt_id;

-- name: lease_delete
DELETE FROM leases WHERE attempt_id = :attempt_id;

-- name: attempt_insert
INSERT INTO attempts (job_seq, id, task_id, node_id, incarnation, number, state, assigned_at)
VALUES (:job_seq, :attempt_id, :task_id, :node_id, :incarnation, :number, :state, :at);

-- name: attempt_start
UPDATE attempts SET state = :state, started_at = coalesce(started_at, :at)
WHERE job_seq = :job_seq AND id = :attempt_id AND state = :was;

-- name: attempt_end
UPDATE attempts SET state = :state, finished_at = :at, failure = :failure, result = :result, progress = :progress
WHERE job_seq = :job_seq AND id = :attempt_id AND state = :was;

-- name: attempts_known
SELECT a.id, a.task_id, a.job_seq, a.node_id, a.incarnation, a.state, j.id, j.state, j.cancel_requested, j.retry_count, j.max_retries
FROM attempts a JOIN jobs j ON j.seq = a.job_seq WHERE a.id {{in ids text}};

-- name: lost_jobs
SELECT job_seq FROM attempts WHERE id {{in ids text}} AND state = 'lost';

-- name: attempt_excuse
UPDATE attempts SET excused = 1
WHERE job_seq = :job_seq AND id = :attempt_id AND state = 'lost' AND excused = 0;

-- name: attempt_log_put
INSERT INTO attempt_logs (job_seq, attempt_id, text) VALUES (:job_seq, :attempt_id, :text)
ON CONFLICT (job_seq, attempt_id) DO UPDATE SET text = excluded.text;

-- name: ready_candidates
SELECT class_id, sort_key, job_seq, position, task_id FROM ready
WHERE class_id = :class_id AND sort_key >= :from_key ORDER BY sort_key, job_seq, position LIMIT :count {{lock_free}};

-- name: specs_of_jobs
SELECT job_seq, spec FROM job_docs WHERE job_seq {{in seqs bigint}};

-- name: payloads_of_jobs
SELECT job_seq, position, payload FROM task_payloads WHERE job_seq {{in seqs bigint}};

-- name: publications_of_jobs
SELECT task_id, outputs FROM publications WHERE job_seq {{in seqs bigint}} ORDER BY task_id, attempt_id;

-- name: publication_insert
INSERT INTO publications (job_seq, task_id, attempt_id, outputs) VALUES (:job_seq, :task_id, :attempt_id, :outputs)
ON CONFLICT (job_seq, task_id, attempt_id) DO UPDATE SET outputs = excluded.outputs;

-- name: lease_requests_known
SELECT node_id, request_id, attempt_ids FROM lease_requests WHERE request_id {{in ids text}};

-- name: lease_request_insert
INSERT INTO lease_requests (node_id, request_id, attempt_ids, created_at) VALUES (:node_id, :request_id, :attempt_ids, :at);

-- name: grants_again
SELECT l.attempt_id, l.task_id, j.id, j.seq, t.kind, l.number, coalesce(p.payload, d.spec)
FROM leases l
JOIN jobs j ON j.seq = l.job_seq
JOIN tasks t ON t.job_seq = l.job_seq AND t.position = l.position
JOIN job_docs d ON d.job_seq = l.job_seq
LEFT JOIN task_payloads p ON p.job_seq = l.job_seq AND p.position = l.position
WHERE l.attempt_id {{in ids text}};

-- name: publications_before
SELECT p.task_id, p.attempt_id, p.outputs
FROM leases l JOIN publications p ON p.job_seq = l.job_seq AND p.task_id = l.task_id
WHERE l.attempt_id {{in ids text}} ORDER BY p.task_id, p.attempt_id;

-- name: directives
SELECT l.attempt_id, l.state, l.paused, j.state, j.paused, j.cancel_requested
FROM leases l JOIN jobs j ON j.seq = l.job_seq
WHERE l.node_id = :node_id;

-- name: attempt_held
SELECT l.attempt_id FROM leases l JOIN jobs j ON j.seq = l.job_seq
WHERE j.id = :job_id AND l.node_id = :node_id ORDER BY l.number DESC LIMIT 1;

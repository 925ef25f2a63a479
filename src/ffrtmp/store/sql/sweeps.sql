-- name: delayed_due
SELECT job_seq FROM delayed WHERE run_at <= :now ORDER BY run_at LIMIT :count;

-- name: delayed_next
SELECT run_at FROM delayed ORDER BY run_at LIMIT 1;

-- name: waiting_jobs
SELECT DISTINCT j.id FROM (
    SELECT job_seq FROM ready WHERE class_id = :class_id AND sort_key <= :until AND ready_at <= :until
    ORDER BY sort_key LIMIT :count
) r JOIN jobs j ON j.seq = r.job_seq;

-- name: jobs_old
-- A job that was sent with an idempotency key stays as long as the key is promised to be known.
SELECT seq FROM jobs j
WHERE finished_at < :finished_before AND (keyed = 0 OR created_at < :keyed_before)
  AND NOT EXISTS (SELECT 1 FROM leases l WHERE l.job_seq = j.seq)
ORDER BY finished_at LIMIT :count;

-- name: old_docs
DELETE FROM job_docs WHERE job_seq {{in seqs bigint}};
-- name: old_tags
DELETE FROM job_tags WHERE job_seq {{in seqs bigint}};
-- name: old_tasks
DELETE FROM tasks WHERE job_seq {{in seqs bigint}};
-- name: old_payloads
DELETE FROM task_payloads WHERE job_seq {{in seqs bigint}};
-- name: old_deps
DELETE FROM task_deps WHERE job_seq {{in seqs bigint}};
-- name: old_attempts
DELETE FROM attempts WHERE job_seq {{in seqs bigint}};
-- name: old_logs
DELETE FROM attempt_logs WHERE job_seq {{in seqs bigint}};
-- name: old_publications
DELETE FROM publications WHERE job_seq {{in seqs bigint}};
-- name: old_events
DELETE FROM events WHERE job_seq {{in seqs bigint}};
-- name: old_keys
DELETE FROM idempotency WHERE job_seq {{in seqs bigint}};
-- name: old_refs
DELETE FROM upload_refs WHERE job_seq {{in seqs bigint}};
-- name: old_jobs
DELETE FROM jobs WHERE seq {{in seqs bigint}};

-- name: old_node_events
DELETE FROM events WHERE seq IN (
    SELECT seq FROM events WHERE job_seq IS NULL AND at < :before ORDER BY at LIMIT :count {{lock_free}});

-- name: old_nodes
-- One that a job names stays as long as the job, which shows its name.
DELETE FROM nodes WHERE id IN (
    SELECT id FROM nodes n WHERE removed_at < :before AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.node_id = n.id)
    ORDER BY removed_at LIMIT :count {{lock_free}});

-- name: old_lease_requests
DELETE FROM lease_requests WHERE (node_id, request_id) IN (
    SELECT node_id, request_id FROM lease_requests WHERE created_at < :before ORDER BY created_at LIMIT :count);

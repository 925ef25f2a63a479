-- name: now
SELECT {{now}};

-- name: job_page
-- The store adds the filters that were asked for: each is one walk along one index.
SELECT j.seq, j.id, j.state, j.scenario, j.confidence, j.engine, j.queue, j.priority, d.parameters, d.spec, d.tags,
       j.retry_of, j.paused, j.cancel_requested, j.max_retries, j.retry_count, j.created_at, j.updated_at, j.started_at,
       j.finished_at, j.node_id, n.name, j.failure, a.result, j.task_count
FROM {{more_sources}} jobs j
JOIN job_docs d ON d.job_seq = j.seq
LEFT JOIN nodes n ON n.id = j.node_id
LEFT JOIN attempts a ON a.job_seq = j.seq AND a.id = j.result_attempt
WHERE {{more_filters}}
ORDER BY {{more_order}} DESC LIMIT :count;

-- name: jobs_whole
SELECT j.seq, j.id, j.state, j.scenario, j.confidence, j.engine, j.queue, j.priority, d.parameters, d.spec, d.tags,
       j.retry_of, j.paused, j.cancel_requested, j.max_retries, j.retry_count, j.created_at, j.updated_at, j.started_at,
       j.finished_at, j.node_id, n.name, j.failure, a.result, j.task_count
FROM jobs j
JOIN job_docs d ON d.job_seq = j.seq
LEFT JOIN nodes n ON n.id = j.node_id
LEFT JOIN attempts a ON a.job_seq = j.seq AND a.id = j.result_attempt
WHERE j.seq {{in seqs bigint}};

-- name: job_whole
SELECT j.seq, j.id, j.state, j.scenario, j.confidence, j.engine, j.queue, j.priority, d.parameters, d.spec, d.tags,
       j.retry_of, j.paused, j.cancel_requested, j.max_retries, j.retry_count, j.created_at, j.updated_at, j.started_at,
       j.finished_at, j.node_id, n.name, j.failure, a.result, j.task_count
FROM jobs j
JOIN job_docs d ON d.job_seq = j.seq
LEFT JOIN nodes n ON n.id = j.node_id
LEFT JOIN attempts a ON a.job_seq = j.seq AND a.id = j.result_attempt
WHERE j.id = :id OR j.seq = :seq;

-- name: progress_of_jobs
SELECT job_seq, progress FROM leases WHERE job_seq {{in seqs bigint}};

-- name: last_progress_of_jobs
SELECT job_seq, progress FROM attempts WHERE job_seq {{in seqs bigint}} AND progress IS NOT NULL ORDER BY number;

-- name: tasks_done_of_jobs
SELECT job_seq, count(*) FROM tasks WHERE job_seq {{in seqs bigint}} AND state = 'done' GROUP BY job_seq;

-- name: job_seq
SELECT seq FROM jobs WHERE id = :id;

-- name: tasks_whole
SELECT t.id, j.id, t.kind, t.state, t.class_id, t.pending_deps, t.failures, t.crashes, t.run_at, t.created_at, t.updated_at
FROM jobs j JOIN tasks t ON t.job_seq = j.seq WHERE j.id = :id ORDER BY t.position;

-- name: attempts_whole
SELECT a.id, a.task_id, j.id, a.node_id, coalesce(n.name, a.node_id), a.number, a.state, a.assigned_at, a.started_at, a.finished_at, a.failure, a.result
FROM jobs j JOIN attempts a ON a.job_seq = j.seq LEFT JOIN nodes n ON n.id = a.node_id
WHERE j.id = :id ORDER BY a.assigned_at, a.number, a.id;

-- name: logs_whole
SELECT g.attempt_id, g.text FROM jobs j JOIN attempt_logs g ON g.job_seq = j.seq WHERE j.id = :id;

-- name: events_of_job_last
SELECT e.seq, e.at, e.kind, CAST(:job_id AS text), e.task_id, e.attempt_id, e.node_id, e.data
FROM events e
WHERE e.job_seq = (SELECT seq FROM jobs WHERE id = :job_id) ORDER BY e.seq DESC LIMIT :count;

-- name: queued_first
SELECT t.class_id, t.sort_key, t.job_seq, t.position FROM jobs j
JOIN tasks t ON t.job_seq = j.seq AND t.state = 'queued'
WHERE j.id = :job_id ORDER BY t.sort_key, t.position LIMIT 1;

-- name: ready_ahead
-- In order, so that the walk along the index ends at the limit: without, the planner gathers all that match first.
SELECT count(*) FROM (
    SELECT 1 FROM ready
    WHERE class_id = :class_id AND (sort_key, job_seq, position) < (:sort_key, :job_seq, :position)
    ORDER BY sort_key, job_seq, position LIMIT :count) sooner;

-- name: classes_all
SELECT id, requires FROM classes ORDER BY id;

-- name: counters_all
SELECT name, CAST(sum(value) AS bigint) FROM counters GROUP BY name;

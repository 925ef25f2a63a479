-- name: events_after
SELECT e.seq, e.at, e.kind, j.id, e.task_id, e.attempt_id, e.node_id, e.data
FROM events e LEFT JOIN jobs j ON j.seq = e.job_seq
WHERE e.seq > :after ORDER BY e.seq LIMIT :count;

-- name: events_of_job
SELECT e.seq, e.at, e.kind, CAST(:job_id AS text), e.task_id, e.attempt_id, e.node_id, e.data
FROM events e
WHERE e.job_seq = (SELECT seq FROM jobs WHERE id = :job_id) AND e.seq > :after ORDER BY e.seq LIMIT :count;

-- name: events_of_node
SELECT e.seq, e.at, e.kind, j.id, e.task_id, e.attempt_id, e.node_id, e.data
FROM events e LEFT JOIN jobs j ON j.seq = e.job_seq
WHERE e.node_id = :node_id AND e.seq > :after ORDER BY e.seq LIMIT :count;

-- name: event_last
SELECT coalesce(max(seq), 0) FROM events;

-- name: time_latest
SELECT max(coalesce((SELECT at FROM events ORDER BY seq DESC LIMIT 1), 0),
           coalesce((SELECT max(last_heartbeat) FROM nodes), 0));

-- name: events_after
SELECT e.seq, e.at, e.kind, j.id, e.task_id, e.attempt_id, e.node_id, e.data
FROM events e LEFT JOIN jobs j ON j.seq = e.job_seq
WHERE (e.xid, e.seq) > ({{event_xid}}, :after) AND e.xid < pg_snapshot_xmin(pg_current_snapshot())
ORDER BY e.xid, e.seq LIMIT :count;

-- name: events_of_job
-- Whoever writes an event of a job holds the job until it commits, so here the order of seq is the order of commits.
SELECT e.seq, e.at, e.kind, CAST(:job_id AS text), e.task_id, e.attempt_id, e.node_id, e.data
FROM events e
WHERE e.job_seq = (SELECT seq FROM jobs WHERE id = :job_id) AND e.seq > :after ORDER BY e.seq LIMIT :count;

-- name: events_of_node
SELECT e.seq, e.at, e.kind, j.id, e.task_id, e.attempt_id, e.node_id, e.data
FROM events e LEFT JOIN jobs j ON j.seq = e.job_seq
WHERE e.node_id = :node_id AND (e.xid, e.seq) > ({{event_xid}}, :after) AND e.xid < pg_snapshot_xmin(pg_current_snapshot())
ORDER BY e.xid, e.seq LIMIT :count;

-- name: event_last
SELECT coalesce((SELECT seq FROM events WHERE xid < pg_snapshot_xmin(pg_current_snapshot())
                 ORDER BY xid DESC, seq DESC LIMIT 1), 0);

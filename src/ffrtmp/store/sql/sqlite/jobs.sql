-- name: job_insert
-- The number was taken beforehand: rows that come back would each cost a step of their own.
INSERT INTO jobs (seq, id, state, scenario, confidence, engine, queue, priority, retry_of, keyed, max_retries, task_count,
                  head_start_us, created_at, updated_at)
VALUES (:seq, :id, :state, :scenario, :confidence, :engine, :queue, :priority, :retry_of, :keyed, :max_retries, :task_count,
        :head_start_us, :at, :at);

-- name: job_last_number
SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'jobs';

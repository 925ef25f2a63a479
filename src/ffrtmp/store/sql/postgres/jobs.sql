-- name: job_insert
INSERT INTO jobs (id, state, scenario, confidence, engine, queue, priority, retry_of, keyed, max_retries, task_count,
                  head_start_us, created_at, updated_at)
VALUES (:id, :state, :scenario, :confidence, :engine, :queue, :priority, :retry_of, :keyed, :max_retries, :task_count,
        :head_start_us, :at, :at)
RETURNING id, seq;

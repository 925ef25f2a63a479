-- name: reads_only
-- Of our reading sessions, which read only because we say so: what the server, the database or the role says stands in reset_val.
SELECT pg_is_in_recovery() OR reset_val = 'on' FROM pg_settings WHERE name = 'default_transaction_read_only';

-- name: job_insert
INSERT INTO jobs (id, state, scenario, confidence, engine, queue, priority, retry_of, keyed, max_retries, task_count,
                  head_start_us, created_at, updated_at)
VALUES (:id, :state, :scenario, :confidence, :engine, :queue, :priority, :retry_of, :keyed, :max_retries, :task_count,
        :head_start_us, :at, :at)
RETURNING id, seq;

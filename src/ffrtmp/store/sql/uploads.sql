-- name: upload_insert
INSERT INTO uploads (id, name, size_bytes, sha256, complete, created_at)
VALUES (:id, :name, :size_bytes, :sha256, 0, :at) ON CONFLICT (id) DO NOTHING;

-- name: upload_finish
UPDATE uploads SET complete = 1 WHERE id = :id;

-- name: uploads_some
SELECT id, name, size_bytes, sha256, complete, created_at FROM uploads WHERE id {{in ids text}};

-- name: uploads_held
SELECT id, complete FROM uploads WHERE id {{in ids text}} ORDER BY id {{share}};

-- name: upload_ref_insert
INSERT INTO upload_refs (upload_id, job_seq) VALUES (:upload_id, :job_seq) ON CONFLICT (upload_id, job_seq) DO NOTHING;

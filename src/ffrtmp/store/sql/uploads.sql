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

-- name: uploads_of_jobs
SELECT DISTINCT upload_id FROM upload_refs WHERE job_seq {{in seqs bigint}};

-- name: upload_of_node
SELECT 1 FROM upload_refs r JOIN leases l ON l.job_seq = r.job_seq
WHERE r.upload_id = :upload_id AND l.node_id = :node_id LIMIT 1;

-- name: upload_orphans
SELECT id FROM uploads u
WHERE created_at < :before AND NOT EXISTS (SELECT 1 FROM upload_refs r WHERE r.upload_id = u.id)
ORDER BY created_at LIMIT :count;

-- name: removed_upload_insert
INSERT INTO removed_uploads (id) VALUES (:id) ON CONFLICT (id) DO NOTHING;

-- name: removed_uploads
SELECT id FROM removed_uploads ORDER BY id LIMIT :count;

-- name: removed_upload_delete
DELETE FROM removed_uploads WHERE id {{in ids text}};

-- name: uploads_free
SELECT id FROM uploads WHERE id {{in ids text}} ORDER BY id {{lock_free}};

-- name: upload_remove
-- Named by no job: its jobs are gone, or there never was one. The uploads are held: what named one of them before has committed, and
-- this statement, which began later, sees it.
DELETE FROM uploads
WHERE id {{in ids text}} AND NOT EXISTS (SELECT 1 FROM upload_refs r WHERE r.upload_id = uploads.id)
RETURNING id;

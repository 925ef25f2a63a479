-- name: nodes_by_id
SELECT id, name, incarnation, draining, stopping, lost, ttl_us, last_heartbeat
FROM nodes WHERE id {{in ids text}} AND removed_at IS NULL ORDER BY id {{lock}};

-- name: node_refs
SELECT id, name FROM nodes WHERE (id {{in ids text}} OR name {{in ids text}}) AND removed_at IS NULL;

-- name: node_holders
SELECT n.id, n.origin, n.began_us, n.address, n.heard_from, n.heartbeat_interval_us,
       (SELECT count(*) FROM leases l WHERE l.node_id = n.id AND l.expires_at >= :now)
FROM nodes n WHERE n.id {{in ids text}} ORDER BY n.id;

-- name: node_known
-- Removed ones too: their jobs still name them.
SELECT id FROM nodes WHERE id = :ref OR name = :ref
ORDER BY id = :ref DESC, removed_at IS NULL DESC, removed_at DESC LIMIT 1;

-- name: node_insert
INSERT INTO nodes (id, name, address, type, cpu_threads, cpu_model, has_gpu, gpu_type, ram_total_bytes, labels, capabilities,
                   slots, incarnation, origin, began_us, heard_from, version, ttl_us, heartbeat_interval_us, registered_at,
                   last_heartbeat)
VALUES (:id, :name, :address, :type, :cpu_threads, :cpu_model, :has_gpu, :gpu_type, :ram_total_bytes, :labels_text,
        :capabilities_text, :slots, :incarnation, :origin, :began_us, :heard_from, :version, :ttl_us, :heartbeat_interval_us, :at,
        :at);

-- name: node_replace
UPDATE nodes SET address = :address, type = :type, cpu_threads = :cpu_threads, cpu_model = :cpu_model, has_gpu = :has_gpu,
                 gpu_type = :gpu_type, ram_total_bytes = :ram_total_bytes, labels = :labels_text,
                 capabilities = :capabilities_text, slots = :slots, incarnation = :incarnation, origin = :origin,
                 began_us = :began_us, heard_from = :heard_from, version = :version,
                 ttl_us = :ttl_us, heartbeat_interval_us = :heartbeat_interval_us, stopping = 0, lost = 0, last_heartbeat = :at
WHERE id = :id AND removed_at IS NULL;

-- name: node_touch
UPDATE nodes SET draining = :draining, stopping = :stopping, lost = :lost, last_heartbeat = :last_heartbeat
WHERE id = :id AND removed_at IS NULL;

-- name: node_credential_set
UPDATE nodes SET credential_sha256 = :sha256 WHERE id = :id AND removed_at IS NULL;

-- name: node_remove
UPDATE nodes SET removed_at = :at, credential_sha256 = '' WHERE id = :id AND removed_at IS NULL;

-- name: nodes_silent
SELECT id FROM nodes WHERE removed_at IS NULL AND lost = 0 AND last_heartbeat + 3 * heartbeat_interval_us < :now
LIMIT :count {{lock_free}};

-- name: node_lost
UPDATE nodes SET lost = 1 WHERE id = :id AND lost = 0;

-- name: nodes_all
SELECT n.id, n.name, n.address, n.type, n.cpu_threads, n.cpu_model, n.has_gpu, n.gpu_type, n.ram_total_bytes, n.labels,
       n.capabilities, n.slots, n.draining, n.stopping, n.incarnation, n.version, n.registered_at, n.last_heartbeat,
       n.heartbeat_interval_us, (SELECT count(*) FROM leases l WHERE l.node_id = n.id), n.ttl_us
FROM nodes n WHERE n.removed_at IS NULL ORDER BY n.name;

-- name: nodes_some
SELECT n.id, n.name, n.address, n.type, n.cpu_threads, n.cpu_model, n.has_gpu, n.gpu_type, n.ram_total_bytes, n.labels,
       n.capabilities, n.slots, n.draining, n.stopping, n.incarnation, n.version, n.registered_at, n.last_heartbeat,
       n.heartbeat_interval_us, (SELECT count(*) FROM leases l WHERE l.node_id = n.id), n.ttl_us
FROM nodes n WHERE (n.id {{in refs text}} OR n.name {{in refs text}}) AND n.removed_at IS NULL ORDER BY n.id;

-- name: node_credential
SELECT credential_sha256 FROM nodes WHERE id = :node_id AND removed_at IS NULL;

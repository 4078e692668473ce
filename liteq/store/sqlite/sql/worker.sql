-- name: register_worker
INSERT INTO liteq_worker
    (name, pid, boot_id, pid_namespace, life_ino, started_at, tasks, queues, slots, lease_ms, supervisor_pid,
     supervisor_start)
VALUES
    (:name, :pid, :boot_id, :pid_namespace, 0, :now, :tasks, :queues, :slots, :lease_ms, :supervisor_pid,
     :supervisor_start)
RETURNING id;

-- name: identify_worker
UPDATE liteq_worker
SET life_ino  = :life_ino,
    pid_start = :pid_start
WHERE id = :worker_id;

-- name: strike_worker
DELETE FROM liteq_worker
WHERE id = :worker_id
RETURNING id;

-- name: workers
SELECT id, name, pid, started_at, tasks, queues, slots,
       (SELECT count(*) FROM liteq_job WHERE state = @running AND owner = liteq_worker.id),
       lease_ms, supervisor_pid, pid_start, boot_id, pid_namespace, life_ino
FROM liteq_worker
ORDER BY id;

-- name: worker_identities
SELECT id, pid, pid_start, boot_id, pid_namespace, life_ino, lease_ms, supervisor_pid, supervisor_start
FROM liteq_worker
ORDER BY id;

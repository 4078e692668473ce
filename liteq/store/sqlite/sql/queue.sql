-- name: pause_queue
INSERT INTO liteq_queue (name, paused_at, paused_reason)
VALUES (:queue, :now, :reason)
ON CONFLICT (name) DO UPDATE
SET paused_at     = coalesce(paused_at, excluded.paused_at),
    paused_reason = excluded.paused_reason;

-- name: resume_queue
DELETE FROM liteq_queue
WHERE name = :queue
  AND paused_at IS NOT NULL
RETURNING name;

-- name: queues
SELECT name, paused_at, paused_reason
FROM liteq_queue
ORDER BY name;

-- name: paused_queues
SELECT name
FROM liteq_queue
WHERE paused_at IS NOT NULL;

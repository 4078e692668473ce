-- name: pause_queue
INSERT INTO liteq_queue (name, paused_at, paused_reason)
VALUES (:queue, :now, :reason)
ON CONFLICT (name) DO UPDATE
SET paused_at     = coalesce(paused_at, excluded.paused_at),
    paused_reason = excluded.paused_reason;

-- name: resume_queue
UPDATE liteq_queue
SET paused_at     = NULL,
    paused_reason = NULL
WHERE name = :queue
  AND paused_at IS NOT NULL
RETURNING name;

-- name: limit_pending
INSERT INTO liteq_queue (name, max_pending, pending)
VALUES (:queue, :max_pending, :pending)
ON CONFLICT (name) DO UPDATE
SET max_pending = excluded.max_pending,
    pending     = excluded.pending;

-- name: forget_queue
-- A queue of which nothing is set any more.
DELETE FROM liteq_queue
WHERE name = :queue
  AND paused_at IS NULL
  AND max_pending IS NULL;

-- name: count_pending
-- Jobs come to wait in a queue, or leave it; only where a limit wants to know.
UPDATE liteq_queue
SET pending = pending + :jobs
WHERE name = :queue
  AND max_pending IS NOT NULL
RETURNING pending, max_pending;

-- name: queues_of
-- Where jobs wait that are about to be moved.
SELECT queue
FROM liteq_job
WHERE id IN (SELECT value FROM json_each(:job_ids))
  AND state IN (@scheduled, @waiting, @blocked, @ready);

-- name: queues
SELECT name, paused_at, paused_reason, max_pending, iif(max_pending IS NULL, NULL, pending)
FROM liteq_queue
ORDER BY name;

-- name: paused_queues
SELECT name
FROM liteq_queue
WHERE paused_at IS NOT NULL;

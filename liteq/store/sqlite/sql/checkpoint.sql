-- name: save_checkpoint
-- A late worker's word changes nothing: no row comes back.
INSERT INTO liteq_checkpoint (job_id, attempt, saved_at, value)
SELECT id, attempt, :now, :value
FROM liteq_job
WHERE id = :job_id
  AND attempt = :attempt
  AND owner = :worker_id
  AND state = @running
ON CONFLICT (job_id) DO UPDATE
SET attempt  = excluded.attempt,
    saved_at = excluded.saved_at,
    value    = excluded.value
RETURNING job_id;

-- name: checkpoint
SELECT value
FROM liteq_checkpoint
WHERE job_id = :job_id;

-- name: forget_checkpoints
DELETE FROM liteq_checkpoint
WHERE job_id IN (SELECT value FROM json_each(:job_ids));

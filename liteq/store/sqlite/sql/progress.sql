-- name: note_progress
-- A late worker's word changes nothing: no row comes back.
INSERT INTO liteq_progress (job_id, attempt, done, total, note, updated_at)
SELECT id, attempt, :done, :total, :note, :now
FROM liteq_job
WHERE id = :job_id
  AND attempt = :attempt
  AND owner = :worker_id
  AND state = @running
ON CONFLICT (job_id) DO UPDATE
SET attempt    = excluded.attempt,
    done       = excluded.done,
    total      = excluded.total,
    note       = excluded.note,
    updated_at = excluded.updated_at
RETURNING job_id;

-- name: progress
SELECT job_id, attempt, done, total, note, updated_at
FROM liteq_progress
WHERE job_id IN (SELECT value FROM json_each(:job_ids));

-- name: forget_progress
DELETE FROM liteq_progress
WHERE job_id IN (SELECT value FROM json_each(:job_ids));

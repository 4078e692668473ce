-- name: finish_step
-- A late worker's word changes nothing: no row comes back.
INSERT INTO liteq_step (job_id, name, attempt, finished_at, result)
SELECT id, :name, attempt, :now, :result
FROM liteq_job
WHERE id = :job_id
  AND attempt = :attempt
  AND owner = :worker_id
  AND state = @running
ON CONFLICT (job_id, name) DO UPDATE
SET attempt     = excluded.attempt,
    finished_at = excluded.finished_at,
    result      = excluded.result
RETURNING job_id;

-- name: step_result
SELECT result
FROM liteq_step
WHERE job_id = :job_id
  AND name = :name;

-- name: steps
SELECT job_id, name, attempt, finished_at, result
FROM liteq_step
WHERE job_id = :job_id
ORDER BY rowid;

-- name: forget_steps
DELETE FROM liteq_step
WHERE job_id IN (SELECT value FROM json_each(:job_ids));

-- name: completed_of
-- Those of the jobs that begin anew when they run again; the others go on where they were.
SELECT id
FROM liteq_job
WHERE id IN (SELECT value FROM json_each(:job_ids))
  AND state = @completed;

-- name: remember
INSERT INTO liteq_attempt
    (job_id, attempt, outcome, worker, claimed_at, started_at, finished_at, exit_code, error, traceback, log, output)
VALUES
    (:job_id, :attempt, :outcome,
     coalesce((SELECT name FROM liteq_worker WHERE id = :worker_id), 'worker ' || :worker_id),
     :claimed_at, :started_at, :finished_at, :exit_code, :error, :traceback, :log, :output)
ON CONFLICT (job_id, attempt) DO NOTHING;

-- name: attempts
SELECT job_id, attempt, outcome, worker, claimed_at, started_at, finished_at, error, traceback, log, output, exit_code
FROM liteq_attempt
WHERE job_id = :job_id
ORDER BY attempt;

-- name: forget_attempts
DELETE FROM liteq_attempt
WHERE job_id IN (SELECT value FROM json_each(:job_ids));

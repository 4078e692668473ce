-- name: put_guard
INSERT INTO liteq_guard (task, failure_rate, window_ms, min_calls, open_ms, retries, retries_ms)
VALUES (:task, :failure_rate, :window_ms, :min_calls, :open_ms, :retries, :retries_ms)
ON CONFLICT (task) DO UPDATE
SET failure_rate  = excluded.failure_rate,
    window_ms     = excluded.window_ms,
    min_calls     = excluded.min_calls,
    open_ms       = excluded.open_ms,
    opened_at     = iif(excluded.failure_rate IS NULL, NULL, opened_at),
    open_until    = iif(excluded.failure_rate IS NULL, NULL, open_until),
    trial_job_id  = iif(excluded.failure_rate IS NULL, NULL, trial_job_id),
    trial_attempt = iif(excluded.failure_rate IS NULL, NULL, trial_attempt),
    retries       = excluded.retries,
    retries_ms    = excluded.retries_ms,
    spent_at      = iif(retries = excluded.retries AND retries_ms = excluded.retries_ms, spent_at, NULL),
    spent_until   = iif(retries = excluded.retries AND retries_ms = excluded.retries_ms, spent_until, NULL);

-- name: remove_guards
DELETE FROM liteq_guard
WHERE task IN (SELECT value FROM json_each(:tasks))
RETURNING task;

-- name: guard
SELECT failure_rate, window_ms, min_calls, open_ms, opened_at, trial_job_id, trial_attempt,
       retries, retries_ms, spent_at, spent_until
FROM liteq_guard
WHERE task = :task;

-- name: guards
SELECT task, failure_rate, window_ms, min_calls, open_ms, opened_at, open_until, openings,
       (SELECT id FROM liteq_job WHERE id = trial_job_id AND attempt = trial_attempt AND state = @running),
       retries, retries_ms, spent_at, spent_until, postponed
FROM liteq_guard
ORDER BY task;

-- name: count_attempts
INSERT INTO liteq_guard_count (task, slice, succeeded, failed)
VALUES (:task, :slice, :succeeded, :failed)
ON CONFLICT (task, slice) DO UPDATE
SET succeeded = succeeded + excluded.succeeded,
    failed    = failed + excluded.failed;

-- name: attempts_counted
SELECT coalesce(sum(succeeded), 0), coalesce(sum(failed), 0)
FROM liteq_guard_count
WHERE task = :task
  AND slice >= :oldest;

-- name: forget_counts
DELETE FROM liteq_guard_count
WHERE task = :task
  AND slice < :oldest;

-- name: open_breaker
UPDATE liteq_guard
SET opened_at     = coalesce(opened_at, :now),
    open_until    = :open_until,
    openings      = openings + 1,
    trial_job_id  = NULL,
    trial_attempt = NULL
WHERE task = :task;

-- name: close_breaker
UPDATE liteq_guard
SET opened_at     = NULL,
    open_until    = NULL,
    trial_job_id  = NULL,
    trial_attempt = NULL
WHERE task = :task
  AND opened_at IS NOT NULL
RETURNING task;

-- name: begin_trial
UPDATE liteq_guard
SET trial_job_id  = :job_id,
    trial_attempt = :attempt
WHERE task = :task
  AND opened_at IS NOT NULL;

-- name: spend_retry
UPDATE liteq_guard
SET spent_at    = :now,
    spent_until = :spent_until,
    postponed   = postponed + :postponed
WHERE task = :task;

-- name: count_outcomes
INSERT INTO liteq_metric (minute, queue, task, completed, failed, dead, crashed, cancelled, run_ms, wait_ms)
VALUES (:minute, :queue, :task, :completed, :failed, :dead, :crashed, :cancelled, :run_ms, :wait_ms)
ON CONFLICT (minute, queue, task) DO UPDATE
SET completed = completed + excluded.completed,
    failed    = failed + excluded.failed,
    dead      = dead + excluded.dead,
    crashed   = crashed + excluded.crashed,
    cancelled = cancelled + excluded.cancelled,
    run_ms    = run_ms + excluded.run_ms,
    wait_ms   = wait_ms + excluded.wait_ms;

-- name: metrics
SELECT minute, queue, task, completed, failed, dead, crashed, cancelled, run_ms, wait_ms
FROM liteq_metric
WHERE minute >= :since_minute
ORDER BY minute, queue, task;

-- name: prune_metrics
DELETE FROM liteq_metric
WHERE minute < :before_minute
RETURNING minute;

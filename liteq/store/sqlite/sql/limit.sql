-- name: gates
-- All that keeps jobs from being claimed, or has to be told of claims, in one look: 0 paused queues, 1 limits of queues,
-- 2 of tasks, 3 keys that have a token again, 4 queues whose waiting jobs are counted, 5 guarded tasks (for how long a
-- breaker opens, whether its trial runs, until when it is open).
SELECT 0 AS kind, name, NULL, NULL, NULL
FROM liteq_queue
WHERE paused_at IS NOT NULL
UNION ALL
SELECT kind, name, coalesce(max_running, declared_max_running), coalesce(rate, declared_rate), next_us
FROM liteq_limit
UNION ALL
SELECT 3, name, NULL, NULL, NULL
FROM (SELECT name FROM liteq_key WHERE wake_at <= :now ORDER BY wake_at LIMIT 500)
UNION ALL
SELECT 4, name, NULL, NULL, NULL
FROM liteq_queue
WHERE max_pending IS NOT NULL
UNION ALL
SELECT 5, task, open_ms,
       EXISTS (SELECT 1 FROM liteq_job WHERE id = trial_job_id AND attempt = trial_attempt AND state = @running),
       open_until
FROM liteq_guard;

-- name: running_lanes
-- How many jobs of each lane run: the rows themselves are the permits, so none can leak.
SELECT queue, task, count(*)
FROM liteq_job
WHERE state = @running
GROUP BY queue, task;

-- name: limits
SELECT kind, name, max_running, rate, declared_max_running, declared_rate, next_us
FROM liteq_limit
ORDER BY kind, name;

-- name: put_limit
INSERT INTO liteq_limit (kind, name, max_running, rate)
VALUES (:kind, :name, :max_running, :rate)
ON CONFLICT (kind, name) DO UPDATE
SET max_running = coalesce(excluded.max_running, max_running),
    rate        = coalesce(excluded.rate, rate);

-- name: remove_limit
UPDATE liteq_limit
SET max_running = NULL,
    rate        = NULL
WHERE kind = :kind
  AND name = :name
  AND (max_running IS NOT NULL OR rate IS NOT NULL)
RETURNING name;

-- name: declare_limit
INSERT INTO liteq_limit (kind, name, declared_max_running, declared_rate)
VALUES (2, :name, :max_running, :rate)
ON CONFLICT (kind, name) DO UPDATE
SET declared_max_running = excluded.declared_max_running,
    declared_rate        = excluded.declared_rate;

-- name: drop_empty_limits
DELETE FROM liteq_limit
WHERE max_running IS NULL
  AND rate IS NULL
  AND declared_max_running IS NULL
  AND declared_rate IS NULL;

-- name: keep_limit_token
UPDATE liteq_limit
SET next_us = :next_us
WHERE kind = :kind
  AND name = :name;

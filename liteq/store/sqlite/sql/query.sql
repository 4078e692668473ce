-- name: get_jobs
SELECT id, state, queue, task, priority, run_at, attempt, failures, crashes, max_failures, max_crashes, timeout_ms,
       owner, enqueued_at, claimed_at, started_at, finished_at, cancel_asked_at, overdue_attempt,
       schedule_id, fire_at, batch_id, unique_key, concurrency_key, key_max_running, key_rate, reason, result_error,
       backoff, metadata, args, result
FROM liteq_job
WHERE id IN (SELECT value FROM json_each(:job_ids))
ORDER BY id DESC;

-- name: metadata
SELECT metadata
FROM liteq_job
WHERE id = :job_id;

-- name: ids_by_walk
-- Newest first through the table itself: for questions that most rows answer, or that no index knows.
SELECT id
FROM liteq_job
WHERE id < :before_id
  AND (:states IS NULL OR state IN (SELECT value FROM json_each(:states)))
  AND (:queue IS NULL OR queue = :queue)
  AND (:task IS NULL OR task = :task)
  AND (:since IS NULL OR enqueued_at >= :since)
  AND (:until IS NULL OR enqueued_at < :until)
ORDER BY id DESC
LIMIT :limit;

-- name: ids_by_state
-- Newest first through the small indexes of the live and the dead; an arm that was not asked for reads nothing.
WITH chosen (id, queue, task, enqueued_at) AS (
    SELECT id, queue, task, enqueued_at FROM liteq_job WHERE :scheduled AND state = @scheduled
    UNION ALL
    SELECT id, queue, task, enqueued_at FROM liteq_job WHERE :waiting AND state = @waiting
    UNION ALL
    SELECT id, queue, task, enqueued_at FROM liteq_job
    WHERE :blocked AND concurrency_key IS NOT NULL AND state BETWEEN @blocked AND @running AND state = @blocked
    UNION ALL
    SELECT id, queue, task, enqueued_at FROM liteq_job WHERE :ready AND state = @ready
    UNION ALL
    SELECT id, queue, task, enqueued_at FROM liteq_job WHERE :running AND state = @running
    UNION ALL
    SELECT id, queue, task, enqueued_at FROM liteq_job WHERE :dead AND state = @dead
)
SELECT id
FROM chosen
WHERE id < :before_id
  AND (:queue IS NULL OR queue = :queue)
  AND (:task IS NULL OR task = :task)
  AND (:since IS NULL OR enqueued_at >= :since)
  AND (:until IS NULL OR enqueued_at < :until)
ORDER BY id DESC
LIMIT :limit;

-- name: ids_by_batch
-- The members of a batch, newest first.
SELECT id
FROM liteq_job
WHERE batch_id = :batch_id
  AND aftermath & 2
  AND id < :before_id
  AND (:states IS NULL OR state IN (SELECT value FROM json_each(:states)))
  AND (:queue IS NULL OR queue = :queue)
  AND (:task IS NULL OR task = :task)
  AND (:since IS NULL OR enqueued_at >= :since)
  AND (:until IS NULL OR enqueued_at < :until)
ORDER BY id DESC
LIMIT :limit;

-- name: ids_by_tag
SELECT job.id
FROM liteq_tag AS label
CROSS JOIN liteq_job AS job ON job.id = label.job_id
WHERE label.tag = :tag
  AND label.job_id < :before_id
  AND (:batch_id IS NULL OR job.batch_id = :batch_id AND job.aftermath & 2)
  AND (:states IS NULL OR job.state IN (SELECT value FROM json_each(:states)))
  AND (:queue IS NULL OR job.queue = :queue)
  AND (:task IS NULL OR job.task = :task)
  AND (:since IS NULL OR job.enqueued_at >= :since)
  AND (:until IS NULL OR job.enqueued_at < :until)
ORDER BY label.job_id DESC
LIMIT :limit;

-- name: count_by_walk
SELECT count(*)
FROM liteq_job
WHERE (:states IS NULL OR state IN (SELECT value FROM json_each(:states)))
  AND (:queue IS NULL OR queue = :queue)
  AND (:task IS NULL OR task = :task)
  AND (:since IS NULL OR enqueued_at >= :since)
  AND (:until IS NULL OR enqueued_at < :until);

-- name: count_by_state
-- Through the same small indexes; without bounds on time each arm reads its index alone.
SELECT count(*)
FROM (
    SELECT queue, task, enqueued_at FROM liteq_job WHERE :scheduled AND state = @scheduled
    UNION ALL
    SELECT queue, task, enqueued_at FROM liteq_job WHERE :waiting AND state = @waiting
    UNION ALL
    SELECT queue, task, enqueued_at FROM liteq_job
    WHERE :blocked AND concurrency_key IS NOT NULL AND state BETWEEN @blocked AND @running AND state = @blocked
    UNION ALL
    SELECT queue, task, enqueued_at FROM liteq_job WHERE :ready AND state = @ready
    UNION ALL
    SELECT queue, task, enqueued_at FROM liteq_job WHERE :running AND state = @running
    UNION ALL
    SELECT queue, task, enqueued_at FROM liteq_job WHERE :dead AND state = @dead
)
WHERE (:queue IS NULL OR queue = :queue)
  AND (:task IS NULL OR task = :task)
  AND (:since IS NULL OR enqueued_at >= :since)
  AND (:until IS NULL OR enqueued_at < :until);

-- name: count_by_batch
SELECT count(*)
FROM liteq_job
WHERE batch_id = :batch_id
  AND aftermath & 2
  AND (:states IS NULL OR state IN (SELECT value FROM json_each(:states)))
  AND (:queue IS NULL OR queue = :queue)
  AND (:task IS NULL OR task = :task)
  AND (:since IS NULL OR enqueued_at >= :since)
  AND (:until IS NULL OR enqueued_at < :until);

-- name: count_by_tag
SELECT count(*)
FROM liteq_tag AS label
CROSS JOIN liteq_job AS job ON job.id = label.job_id
WHERE label.tag = :tag
  AND (:batch_id IS NULL OR job.batch_id = :batch_id AND job.aftermath & 2)
  AND (:states IS NULL OR job.state IN (SELECT value FROM json_each(:states)))
  AND (:queue IS NULL OR job.queue = :queue)
  AND (:task IS NULL OR job.task = :task)
  AND (:since IS NULL OR job.enqueued_at >= :since)
  AND (:until IS NULL OR job.enqueued_at < :until);

-- name: lane_counts
SELECT queue, task, @scheduled, priority, count(*), min(run_at)
FROM liteq_job WHERE state = @scheduled GROUP BY queue, task, priority
UNION ALL
SELECT queue, task, @waiting, priority, count(*), min(enqueued_at)
FROM liteq_job WHERE state = @waiting GROUP BY queue, task, priority
UNION ALL
SELECT queue, task, @blocked, priority, count(*), min(enqueued_at)
FROM liteq_job WHERE concurrency_key IS NOT NULL AND state BETWEEN @blocked AND @running AND state = @blocked
GROUP BY queue, task, priority
UNION ALL
SELECT queue, task, @ready, priority, count(*), min(run_at)
FROM liteq_job WHERE state = @ready GROUP BY queue, task, priority
UNION ALL
SELECT queue, task, @running, priority, count(*), min(claimed_at)
FROM liteq_job WHERE state = @running GROUP BY queue, task, priority
UNION ALL
SELECT queue, task, @dead, priority, count(*), min(finished_at)
FROM liteq_job WHERE state = @dead GROUP BY queue, task, priority;

-- name: line
-- The blocked jobs of a key, as their turns come.
SELECT id, priority, run_at, key_max_running, key_rate, queue
FROM liteq_job
WHERE concurrency_key = :key
  AND state = @blocked
  AND state BETWEEN @blocked AND @running
ORDER BY priority DESC, run_at, id
LIMIT :limit;

-- name: line_length
SELECT count(*)
FROM liteq_job
WHERE concurrency_key = :key
  AND state = @blocked
  AND state BETWEEN @blocked AND @running;

-- name: in_turn
-- How many jobs of a key are in their turn, how many of these no worker has taken yet, how many of those will take a
-- token, and the smallest of their numbers.
SELECT count(*), count(*) FILTER (WHERE state = @ready),
       count(*) FILTER (WHERE state = @ready AND key_rate IS NOT NULL), min(key_max_running)
FROM liteq_job
WHERE concurrency_key = :key
  AND state IN (@ready, @running)
  AND state BETWEEN @blocked AND @running;

-- name: ids_in_turn
SELECT id
FROM liteq_job
WHERE concurrency_key = :key
  AND state IN (@ready, @running)
  AND state BETWEEN @blocked AND @running
ORDER BY state DESC
LIMIT :limit;

-- name: last_in_turn
-- Of those in their turn and not taken yet, the one that comes last.
SELECT id, priority, run_at, key_rate
FROM liteq_job
WHERE concurrency_key = :key
  AND state = @ready
  AND state BETWEEN @blocked AND @running
ORDER BY priority, run_at DESC, id DESC
LIMIT 1;

-- name: keys_of
SELECT concurrency_key
FROM liteq_job
WHERE id IN (SELECT value FROM json_each(:job_ids))
  AND concurrency_key IS NOT NULL;

-- name: take_turn
-- blocked -> ready.
UPDATE liteq_job
SET state = @ready
WHERE id IN (SELECT value FROM json_each(:job_ids))
  AND state = @blocked;

-- name: block
-- ready -> blocked: one that comes before it takes its turn.
UPDATE liteq_job
SET state = @blocked
WHERE id = :job_id
  AND state = @ready
  AND concurrency_key IS NOT NULL;

-- name: next_lanes
-- The lanes of those that are next once a running job of their key ends, or their key has a token again.
SELECT DISTINCT queue, task
FROM liteq_job
WHERE id IN (SELECT (SELECT next.id
                     FROM liteq_job AS next
                     WHERE next.state = @blocked
                       AND next.state BETWEEN @blocked AND @running
                       AND next.concurrency_key = holder.concurrency_key
                     ORDER BY next.priority DESC, next.run_at, next.id
                     LIMIT 1)
             FROM liteq_job AS holder
             WHERE holder.state = @running
               AND holder.concurrency_key IS NOT NULL
             UNION ALL
             SELECT (SELECT next.id
                     FROM liteq_job AS next
                     WHERE next.state = @blocked
                       AND next.state BETWEEN @blocked AND @running
                       AND next.concurrency_key = liteq_key.name
                     ORDER BY next.priority DESC, next.run_at, next.id
                     LIMIT 1)
             FROM liteq_key
             WHERE wake_at <= :until);

-- name: next_token
SELECT next_us
FROM liteq_key
WHERE name = :key;

-- name: keep_token
INSERT INTO liteq_key (name, next_us, full_at)
VALUES (:key, :next_us, :full_at)
ON CONFLICT (name) DO UPDATE
SET next_us = excluded.next_us,
    full_at = excluded.full_at;

-- name: wake_later
-- At the instant of its next token somebody looks at the key again.
UPDATE liteq_key
SET wake_at = :wake_at
WHERE name = :key;

-- name: wake
UPDATE liteq_key
SET wake_at = NULL
WHERE name IN (SELECT value FROM json_each(:keys));

-- name: sweep_tokens
-- What says no more than nothing would, a few at a time.
DELETE FROM liteq_key
WHERE name IN (SELECT name FROM liteq_key WHERE wake_at IS NULL AND full_at < :now ORDER BY full_at LIMIT 4);

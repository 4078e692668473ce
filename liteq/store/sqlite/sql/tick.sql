-- name: record_tick
INSERT INTO liteq_tick (schedule_id, fire_at, decided_at, outcome, ticks, job_id)
VALUES (:schedule_id, :fire_at, :now, :outcome, :ticks, :job_id);

-- name: count_ticks
INSERT INTO liteq_tick_count (schedule_id, outcome, ticks, late_ms)
VALUES (:schedule_id, :outcome, :ticks, :late_ms)
ON CONFLICT (schedule_id, outcome) DO UPDATE
SET ticks   = ticks + excluded.ticks,
    late_ms = late_ms + excluded.late_ms;

-- name: ticks
SELECT id, schedule_id, fire_at, decided_at, outcome, ticks, job_id
FROM liteq_tick
WHERE schedule_id = :schedule_id
ORDER BY fire_at DESC, id DESC
LIMIT :limit;

-- name: ticks_with_job
SELECT fire_at
FROM liteq_tick
WHERE schedule_id = :schedule_id
  AND fire_at IN (SELECT value FROM json_each(:ticks))
  AND (job_id IS NOT NULL OR outcome = 'buffered');

-- name: buffered_ticks
-- The row of the smallest id stands for its schedule.
SELECT min(id), schedule_id, fire_at, count(*)
FROM liteq_tick
WHERE outcome = 'buffered'
GROUP BY schedule_id;

-- name: freed_ticks
SELECT min(tick.id), tick.schedule_id, tick.fire_at, count(*)
FROM liteq_tick AS tick
CROSS JOIN liteq_schedule AS schedule ON schedule.id = tick.schedule_id
WHERE tick.outcome = 'buffered'
  AND schedule.paused_at IS NULL
  AND NOT EXISTS (SELECT 1 FROM liteq_job WHERE schedule_id = tick.schedule_id AND state <= 5)
GROUP BY tick.schedule_id
LIMIT :limit;

-- name: settle_tick
-- buffered -> another outcome; no row comes back when somebody else has settled it.
UPDATE liteq_tick
SET outcome    = :outcome,
    decided_at = :now,
    job_id     = :job_id
WHERE id = :tick_id
  AND outcome = 'buffered'
RETURNING id;

-- name: tick_counts
SELECT schedule_id, outcome, ticks, late_ms
FROM liteq_tick_count
WHERE schedule_id = :schedule_id
ORDER BY outcome;

-- name: all_tick_counts
SELECT schedule_id, outcome, ticks, late_ms
FROM liteq_tick_count
ORDER BY schedule_id, outcome;

-- name: forget_empty_counts
DELETE FROM liteq_tick_count
WHERE schedule_id = :schedule_id
  AND ticks = 0;

-- name: forget_tick_counts
DELETE FROM liteq_tick_count
WHERE schedule_id = :schedule_id;

-- name: states_of_ticks
-- What became of the jobs of the newest ticks.
SELECT job.state, count(*)
FROM (SELECT job_id FROM liteq_tick WHERE id > :after_id AND job_id IS NOT NULL) AS tick
CROSS JOIN liteq_job AS job ON job.id = tick.job_id
GROUP BY job.state;

-- name: last_tick_id
SELECT seq
FROM sqlite_sequence
WHERE name = 'liteq_tick';

-- name: prunable_ticks
-- The oldest traces, as far as they were decided early enough.
SELECT id
FROM (SELECT id, decided_at FROM liteq_tick WHERE outcome <> 'buffered' ORDER BY id LIMIT :limit)
WHERE decided_at < :decided_before;

-- name: forget_ticks
DELETE FROM liteq_tick
WHERE id IN (SELECT value FROM json_each(:tick_ids))
RETURNING id;

-- name: drop_buffered
UPDATE liteq_tick
SET outcome    = :outcome,
    decided_at = :now
WHERE schedule_id = :schedule_id
  AND outcome = 'buffered';

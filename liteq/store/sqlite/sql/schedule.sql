-- name: insert_schedule
-- No row comes back when the name is taken.
INSERT INTO liteq_schedule (name, declared, spec, job, next_fire_at, advanced_at, tzdata, created_at)
VALUES (:name, :declared, :spec, :job, :next_fire_at, :now, :tzdata, :now)
ON CONFLICT (name) DO NOTHING
RETURNING name;

-- name: replace_schedule
-- No row comes back when somebody else has changed it meanwhile. A pause outlives the change, an error does not.
UPDATE liteq_schedule
SET revision     = revision + 1,
    declared     = :declared,
    spec         = :spec,
    job          = :job,
    next_fire_at = :next_fire_at,
    advanced_at  = CASE WHEN next_fire_at IS :next_fire_at THEN advanced_at ELSE :now END,
    tzdata       = :tzdata,
    runs         = iif(:anew, 0, runs),
    error        = NULL
WHERE name = :name
  AND revision = :revision
RETURNING name;

-- name: declare_schedule
-- The same schedule is now declared by a program, or is so no longer.
UPDATE liteq_schedule
SET declared = :declared
WHERE name = :name
  AND revision = :revision
RETURNING name;

-- name: advance_schedule
-- The tick is this caller's to fire, or no row comes back: somebody else fired it, or paused or changed the schedule.
UPDATE liteq_schedule
SET next_fire_at = :next_fire_at,
    advanced_at  = :now,
    tzdata       = :tzdata,
    runs         = runs + :runs,
    spec         = coalesce(:spec, spec),
    error        = :error
WHERE id = :schedule_id
  AND revision = :revision
  AND next_fire_at IS :expected
  AND (paused_at IS NULL OR :even_paused)
RETURNING id;

-- name: due_schedules
SELECT id, name, revision, declared, spec, job, next_fire_at, advanced_at, tzdata, runs, created_at, paused_at,
       paused_reason, error
FROM liteq_schedule
WHERE next_fire_at IS NOT NULL
  AND paused_at IS NULL
  AND next_fire_at <= :now
ORDER BY next_fire_at
LIMIT :limit;

-- name: misplaced_schedules
-- Schedules whose next tick was computed by other rules of time zones, or by a clock that is ahead of ours.
SELECT id, name, revision, declared, spec, job, next_fire_at, advanced_at, tzdata, runs, created_at, paused_at,
       paused_reason, error
FROM liteq_schedule
WHERE advanced_at > :latest
   OR tzdata NOT IN ('', :tzdata);

-- name: next_tick
SELECT next_fire_at
FROM liteq_schedule
WHERE next_fire_at IS NOT NULL
  AND paused_at IS NULL
ORDER BY next_fire_at
LIMIT 1;

-- name: get_schedule
SELECT id, name, revision, declared, spec, job, next_fire_at, advanced_at, tzdata, runs, created_at, paused_at,
       paused_reason, error
FROM liteq_schedule
WHERE name = :name;

-- name: schedules_by_id
SELECT id, name, revision, declared, spec, job, next_fire_at, advanced_at, tzdata, runs, created_at, paused_at,
       paused_reason, error
FROM liteq_schedule
WHERE id IN (SELECT value FROM json_each(:schedule_ids));

-- name: list_schedules
SELECT id, name, revision, declared, spec, job, next_fire_at, advanced_at, tzdata, runs, created_at, paused_at,
       paused_reason, error
FROM liteq_schedule
WHERE name > :after
ORDER BY name
LIMIT :limit;

-- name: pause_schedule
UPDATE liteq_schedule
SET paused_at     = :now,
    paused_reason = :reason
WHERE id = :schedule_id
  AND paused_at IS NULL
RETURNING id;

-- name: resume_schedule
UPDATE liteq_schedule
SET paused_at     = NULL,
    paused_reason = NULL
WHERE id = :schedule_id
  AND revision = :revision
  AND paused_at IS NOT NULL
RETURNING id;

-- name: remove_schedule
DELETE FROM liteq_schedule
WHERE id = :schedule_id
RETURNING id;

-- name: scheduled_live
-- The live jobs of the schedules.
SELECT schedule_id, id
FROM liteq_job
WHERE schedule_id IS NOT NULL
  AND state <= 5
  AND schedule_id IN (SELECT value FROM json_each(:schedule_ids));

-- name: schedule_totals
SELECT count(*),
       count(*) FILTER (WHERE paused_at IS NULL AND next_fire_at <= :now),
       count(*) FILTER (WHERE paused_at IS NULL AND next_fire_at <= :overdue_since),
       count(*) FILTER (WHERE paused_at IS NOT NULL),
       count(*) FILTER (WHERE error IS NOT NULL)
FROM liteq_schedule;

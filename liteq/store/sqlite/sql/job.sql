-- name: enqueue
-- none -> ready / scheduled.
INSERT INTO liteq_job
    (state, priority, run_at, max_failures, max_crashes, timeout_ms, enqueued_at, unique_scope, held_until,
     schedule_id, fire_at, args_crc, queue, task, unique_key, unique_slot, backoff, metadata, args, aftermath, batch_id,
     on_dead)
VALUES
    (iif(:run_at > :now, @scheduled, @ready), :priority, :run_at, :max_failures, :max_crashes, :timeout_ms, :now,
     :unique_scope, :held_until, :schedule_id, :fire_at, :args_crc, :queue, :task, :unique_key, :unique_key, :backoff,
     :metadata, :args, :aftermath, :batch_id, :on_dead);

-- name: enqueue_bound
-- none -> waiting / blocked / ready / scheduled / cancelled, as its parents and its key decide.
INSERT INTO liteq_job
    (state, priority, run_at, max_failures, max_crashes, timeout_ms, enqueued_at, unique_scope, held_until,
     schedule_id, fire_at, args_crc, queue, task, unique_key, unique_slot, backoff, metadata, args, aftermath, batch_id,
     on_dead, parents_left, reason, finished_at, concurrency_key, key_max_running, key_rate)
VALUES
    (:state, :priority, :run_at, :max_failures, :max_crashes, :timeout_ms, :now, :unique_scope, :held_until,
     :schedule_id, :fire_at, :args_crc, :queue, :task, :unique_key, iif(:state = @cancelled, NULL, :unique_key),
     :backoff, :metadata, :args, :aftermath, :batch_id, :on_dead, :parents_left, :reason,
     iif(:state = @cancelled, :now, NULL), :concurrency_key, :key_max_running, :key_rate);

-- name: holder
-- Who holds a unique key, and whether its time is over.
SELECT id, state, held_until IS NOT NULL AND held_until <= :now AS lapsed
FROM liteq_job
WHERE unique_slot = :unique_key;

-- name: free_key
UPDATE liteq_job
SET unique_slot = NULL
WHERE id = :job_id;

-- name: replace
-- scheduled / blocked / ready -> scheduled / blocked / ready, with the newcomer's arguments, metadata and time, and with
-- its key, for it is the arguments that a key belongs to.
UPDATE liteq_job
SET state           = CASE WHEN :run_at > :now THEN @scheduled
                           WHEN :concurrency_key IS NULL THEN @ready
                           ELSE @blocked END,
    run_at          = :run_at,
    priority        = :priority,
    metadata        = :metadata,
    args            = :args,
    args_crc        = :args_crc,
    aftermath       = (aftermath & ~8) | iif(:concurrency_key IS NULL, 0, 8),
    concurrency_key = :concurrency_key,
    key_max_running = :key_max_running,
    key_rate        = :key_rate
WHERE id = :job_id
  AND task = :task
  AND state IN (@scheduled, @blocked, @ready)
RETURNING id, attempt, concurrency_key;

-- name: debounce
-- scheduled / waiting / blocked / ready -> the same or scheduled / ready: the newest arguments, and once more the wait,
-- which ends at the latest so long after the first call.
UPDATE liteq_job
SET state           = CASE WHEN state = @waiting THEN state
                           WHEN min(:run_at, enqueued_at + coalesce(:max_wait_ms, :run_at)) > :now THEN @scheduled
                           WHEN :concurrency_key IS NULL THEN @ready
                           ELSE @blocked END,
    run_at          = min(:run_at, enqueued_at + coalesce(:max_wait_ms, :run_at)),
    priority        = :priority,
    metadata        = :metadata,
    args            = :args,
    args_crc        = :args_crc,
    aftermath       = (aftermath & ~8) | iif(:concurrency_key IS NULL, 0, 8),
    concurrency_key = :concurrency_key,
    key_max_running = :key_max_running,
    key_rate        = :key_rate
WHERE id = :job_id
  AND task = :task
  AND state IN (@scheduled, @waiting, @blocked, @ready)
RETURNING id, attempt, concurrency_key;

-- name: promote
-- scheduled -> ready / blocked. Some at a time, so that no claim holds the lock for long.
UPDATE liteq_job
SET state = iif(concurrency_key IS NULL, @ready, @blocked)
WHERE id IN (SELECT id FROM liteq_job WHERE state = @scheduled AND run_at <= :now ORDER BY run_at LIMIT 500)
  AND state = @scheduled
RETURNING concurrency_key;

-- name: next_due
-- The earliest instant at which a scheduled job, a key that has spent its rate, a spent limit or a breaker comes free.
-- While a fan-out goes on that is now.
SELECT min(due_at)
FROM (
    SELECT due_at FROM (SELECT run_at AS due_at FROM liteq_job WHERE state = @scheduled ORDER BY run_at LIMIT 1)
    UNION ALL
    SELECT due_at FROM (SELECT wake_at AS due_at FROM liteq_key WHERE wake_at IS NOT NULL ORDER BY wake_at LIMIT 1)
    UNION ALL
    SELECT (next_us + 999) / 1000 FROM liteq_limit WHERE next_us > :now * 1000
    UNION ALL
    SELECT open_until FROM liteq_guard WHERE open_until > :now
    UNION ALL
    SELECT :now WHERE EXISTS (SELECT 1 FROM liteq_fanout)
);

-- name: begun_lanes
-- The lanes with jobs that were begun and wait for another attempt in the near future.
SELECT DISTINCT queue, task
FROM liteq_job
WHERE state = @scheduled
  AND run_at <= :until
  AND attempt > 0;

-- name: ready_lanes
-- The lanes with ready jobs, found by leaping from one to the next through the index of ready jobs. Each leap is two
-- seeks: a comparison of pairs, (queue, task) > (…), would walk through all the jobs of the queue.
WITH RECURSIVE lane (queue, task) AS (
    SELECT (SELECT queue FROM liteq_job WHERE state = @ready ORDER BY queue, task LIMIT 1),
           (SELECT task FROM liteq_job WHERE state = @ready ORDER BY queue, task LIMIT 1)
    UNION ALL
    SELECT coalesce((SELECT queue FROM liteq_job WHERE state = @ready AND queue = lane.queue AND task > lane.task
                     LIMIT 1),
                    (SELECT queue FROM liteq_job WHERE state = @ready AND queue > lane.queue
                     ORDER BY queue LIMIT 1)),
           coalesce((SELECT task FROM liteq_job WHERE state = @ready AND queue = lane.queue AND task > lane.task
                     ORDER BY task LIMIT 1),
                    (SELECT task FROM liteq_job WHERE state = @ready AND queue > lane.queue
                     ORDER BY queue, task LIMIT 1))
    FROM lane
    WHERE lane.queue IS NOT NULL
)
SELECT queue, task
FROM lane
WHERE queue IS NOT NULL;

-- name: lane_heads
SELECT priority, run_at, id
FROM liteq_job
WHERE state = @ready
  AND queue = :queue
  AND task = :task
ORDER BY priority DESC, run_at, id
LIMIT :limit;

-- name: claim
-- ready -> running. What rivals took meanwhile is not ready any more and stays theirs; what was paused meanwhile, or
-- moved to a queue that is not wanted here, stays ready.
UPDATE liteq_job
SET state      = @running,
    attempt    = attempt + 1,
    owner      = :worker_id,
    claimed_at = :now
WHERE id IN (SELECT value FROM json_each(:job_ids))
  AND state = @ready
  AND (:paused IS NULL OR queue NOT IN (SELECT value FROM json_each(:paused)))
  AND (:queues IS NULL OR queue IN (SELECT value FROM json_each(:queues)))
RETURNING id, attempt, owner, queue, task, args, args_crc, priority, run_at, enqueued_at, claimed_at,
          failures, max_failures, crashes, max_crashes, backoff, timeout_ms, fire_at, batch_id, concurrency_key,
          key_rate, aftermath;

-- name: free_started_keys
-- The unique keys of jobs that have just been claimed, where they were held no longer than that.
UPDATE liteq_job
SET unique_slot = NULL
WHERE id IN (SELECT value FROM json_each(:job_ids))
  AND unique_scope = 1;

-- name: complete_plain
-- running -> completed, for jobs from whose end nothing follows. It says nothing of each one, for that costs as much as
-- the write: the rows that changed are counted.
UPDATE liteq_job
SET state       = @completed,
    result      = :result,
    started_at  = :started_at,
    finished_at = :finished_at,
    owner       = NULL
WHERE id = :job_id
  AND attempt = :attempt
  AND owner = :worker_id
  AND state = @running
  AND aftermath = 0
  AND cancel_asked_at IS NULL;

-- name: complete
-- running -> completed. No row comes back when the claim is no longer the job's.
UPDATE liteq_job
SET state           = @completed,
    result          = :result,
    result_error    = :result_error,
    started_at      = :started_at,
    finished_at     = :finished_at,
    owner           = NULL,
    cancel_asked_at = NULL,
    unique_slot     = iif(unique_scope <= 2, NULL, unique_slot)
WHERE id = :job_id
  AND attempt = :attempt
  AND owner = :worker_id
  AND state = @running
RETURNING id, attempt, aftermath;

-- name: retry
-- running -> scheduled, one failure more.
UPDATE liteq_job
SET state       = @scheduled,
    failures    = failures + 1,
    run_at      = :run_at,
    started_at  = :started_at,
    owner       = NULL
WHERE id = :job_id
  AND attempt = :attempt
  AND owner = :worker_id
  AND state = @running
  AND failures + 1 < max_failures
RETURNING id, aftermath;

-- name: postpone
-- scheduled -> scheduled, in the transaction that has just put it there.
UPDATE liteq_job
SET run_at = run_at + :wait_ms
WHERE id = :job_id
  AND state = @scheduled;

-- name: dead_letter
-- running -> dead, one failure more.
UPDATE liteq_job
SET state           = @dead,
    failures        = failures + 1,
    reason          = :reason,
    started_at      = :started_at,
    finished_at     = :now,
    owner           = NULL,
    cancel_asked_at = NULL,
    unique_slot     = iif(unique_scope <= 2, NULL, unique_slot)
WHERE id = :job_id
  AND attempt = :attempt
  AND owner = :worker_id
  AND state = @running
RETURNING id, aftermath;

-- name: snooze
-- running -> scheduled, no failure.
UPDATE liteq_job
SET state      = @scheduled,
    run_at     = :run_at,
    started_at = :started_at,
    owner      = NULL
WHERE id = :job_id
  AND attempt = :attempt
  AND owner = :worker_id
  AND state = @running
RETURNING id, aftermath;

-- name: release
-- running -> ready, unharmed; with a key -> blocked, to get in line by its priority.
UPDATE liteq_job
SET state      = iif(concurrency_key IS NULL, @ready, @blocked),
    owner      = NULL,
    claimed_at = NULL
WHERE id = :job_id
  AND attempt = :attempt
  AND owner = :worker_id
  AND state = @running
RETURNING id, attempt, aftermath;

-- name: abort
-- running -> cancelled, because somebody asked.
UPDATE liteq_job
SET state       = @cancelled,
    started_at  = :started_at,
    finished_at = :now,
    owner       = NULL,
    unique_slot = iif(unique_scope <= 2, NULL, unique_slot)
WHERE id = :job_id
  AND attempt = :attempt
  AND owner = :worker_id
  AND state = @running
  AND cancel_asked_at IS NOT NULL
RETURNING id, aftermath;

-- name: overdue_of
SELECT id
FROM liteq_job
WHERE state = @running
  AND owner = :worker_id
  AND overdue_attempt = attempt
LIMIT 1;

-- name: time_out
-- running -> running, with the verdict that this attempt ran past its time. It is applied when its worker is gone.
UPDATE liteq_job
SET overdue_attempt = attempt
WHERE id = :job_id
  AND attempt = :attempt
  AND owner = :worker_id
  AND state = @running
RETURNING id;

-- name: still_claimed
-- Whether a claim is still the job's own: tells a late report from one that came in the wrong state.
SELECT 1
FROM liteq_job
WHERE id = :job_id
  AND attempt = :attempt
  AND owner = :worker_id
  AND state = @running;

-- name: running_of
SELECT id, attempt, owner, queue, task, claimed_at, crashes, max_crashes, failures, max_failures, backoff,
       cancel_asked_at, overdue_attempt
FROM liteq_job
WHERE state = @running
  AND owner = :worker_id
ORDER BY id
LIMIT :limit;

-- name: expire
-- running -> ready / blocked / scheduled / dead. The state was decided under the same lock from what the slate says.
UPDATE liteq_job
SET state       = iif(:state = @ready AND concurrency_key IS NOT NULL, @blocked, :state),
    crashes     = crashes + :charge,
    failures    = failures + :overdue,
    run_at      = coalesce(:run_at, run_at),
    reason      = coalesce(:reason, reason),
    started_at  = coalesce(:started_at, started_at),
    finished_at = iif(:state = @dead, :now, NULL),
    claimed_at  = iif(:charge OR :overdue, claimed_at, NULL),
    owner       = NULL,
    unique_slot = iif(:state = @dead AND unique_scope <= 2, NULL, unique_slot)
WHERE id = :job_id
  AND attempt = :attempt
  AND owner = :worker_id
  AND state = @running
RETURNING id, aftermath;

-- name: cancel
-- scheduled / waiting / blocked / ready -> cancelled.
UPDATE liteq_job
SET state       = @cancelled,
    reason      = :reason,
    finished_at = :now,
    unique_slot = iif(unique_scope <= 2, NULL, unique_slot)
WHERE id IN (SELECT value FROM json_each(:job_ids))
  AND state IN (@scheduled, @waiting, @blocked, @ready)
RETURNING id, aftermath, queue, task;

-- name: ask_cancel
-- running -> running, asked to stop.
UPDATE liteq_job
SET cancel_asked_at = :now,
    cancel_hard     = :hard,
    reason          = :reason
WHERE id IN (SELECT value FROM json_each(:job_ids))
  AND state = @running
  AND (cancel_asked_at IS NULL OR :hard > cancel_hard)
RETURNING id;

-- name: cancel_as_asked
-- scheduled / blocked / ready -> cancelled, asked for while it ran; the reason is already there.
UPDATE liteq_job
SET state       = @cancelled,
    finished_at = :now,
    unique_slot = iif(unique_scope <= 2, NULL, unique_slot)
WHERE id IN (SELECT value FROM json_each(:job_ids))
  AND state IN (@scheduled, @blocked, @ready)
  AND cancel_asked_at IS NOT NULL
RETURNING id, aftermath, queue, task;

-- name: cancels_asked
SELECT id, cancel_hard
FROM liteq_job
WHERE state = @running
  AND owner = :worker_id
  AND cancel_asked_at IS NOT NULL;

-- name: rival
-- Another job that holds the key which this one would take again, and whether its time is over.
SELECT holder.id, holder.unique_key, holder.held_until IS NOT NULL AND holder.held_until <= :now AS lapsed
FROM liteq_job AS job
CROSS JOIN liteq_job AS holder ON holder.unique_slot = job.unique_key
WHERE job.id = :job_id
  AND job.state IN (@completed, @dead, @cancelled)
  AND job.unique_scope <= 2
  AND holder.id <> job.id;

-- name: requeue
-- completed / dead / cancelled -> ready, with a key blocked, with a fresh budget. The attempt goes on.
UPDATE liteq_job
SET state           = iif(concurrency_key IS NULL, @ready, @blocked),
    failures        = 0,
    crashes         = 0,
    run_at          = :now,
    claimed_at      = NULL,
    started_at      = NULL,
    finished_at     = NULL,
    parents_left    = 0,
    cancel_asked_at = NULL,
    reason          = NULL,
    result          = NULL,
    result_error    = NULL,
    unique_slot     = iif(unique_scope <= 2, unique_key, unique_slot)
WHERE id = :job_id
  AND state IN (@completed, @dead, @cancelled)
RETURNING concurrency_key, queue;

-- name: reschedule
-- scheduled / blocked / ready -> scheduled / blocked / ready; waiting jobs stay so and take the new values along.
UPDATE liteq_job
SET run_at   = coalesce(:run_at, run_at),
    priority = coalesce(:priority, priority),
    queue    = coalesce(:queue, queue),
    state    = CASE WHEN state = @waiting THEN state
                    WHEN coalesce(:run_at, run_at) > :now THEN @scheduled
                    WHEN concurrency_key IS NULL OR state = @ready THEN @ready
                    ELSE @blocked END
WHERE id IN (SELECT value FROM json_each(:job_ids))
  AND state IN (@scheduled, @waiting, @blocked, @ready)
RETURNING id, concurrency_key, queue;

-- name: delete
-- not running -> none.
DELETE FROM liteq_job
WHERE id IN (SELECT value FROM json_each(:job_ids))
  AND state <> @running
RETURNING id, aftermath, iif(state <= @running AND aftermath & 2, batch_id, NULL),
          iif(state IN (@blocked, @ready), concurrency_key, NULL), queue, state;

-- name: prunable
-- Completed and cancelled jobs that finished early enough, sought from the oldest id on. Who has live children stays:
-- they may ask for its result.
SELECT id
FROM liteq_job
WHERE id > :after_id
  AND id <= :up_to_id
  AND state IN (@completed, @cancelled)
  AND finished_at < :finished_before
  AND NOT EXISTS (SELECT 1
                  FROM liteq_dependency AS link
                  CROSS JOIN liteq_job AS child ON child.id = link.child_id
                  WHERE link.parent_id = liteq_job.id
                    AND child.state <= @running)
ORDER BY id
LIMIT :limit;

-- name: insert_batch
INSERT INTO liteq_batch (name, max_failed, created_at, on_success, on_failure, on_complete)
VALUES (:name, :max_failed, :now, :on_success, :on_failure, :on_complete);

-- name: join_batch
-- No row comes back where the batch has finished or was cancelled: nobody may join it any more.
UPDATE liteq_batch
SET jobs = jobs + :jobs
WHERE id = :batch_id
  AND finished_at IS NULL
  AND cancelled_at IS NULL
RETURNING id;

-- name: batches_of
-- One row for each of the jobs that is a member: 2 is that bit of what follows from its end.
SELECT batch_id
FROM liteq_job
WHERE id IN (SELECT value FROM json_each(:job_ids))
  AND aftermath & 2;

-- name: count_ends
-- The batch has finished with its last member.
UPDATE liteq_batch
SET completed   = completed + :completed,
    dead        = dead + :dead,
    cancelled   = cancelled + :cancelled,
    finished_at = iif(completed + dead + cancelled + :completed + :dead + :cancelled >= jobs, :now, NULL)
WHERE id = :batch_id
RETURNING finished_at IS NOT NULL, dead + cancelled <= max_failed;

-- name: reopen_batch
-- A finished member runs again, and counts as none of the finished any more.
UPDATE liteq_batch
SET completed   = completed - (job.state = @completed),
    dead        = dead - (job.state = @dead),
    cancelled   = cancelled - (job.state = @cancelled),
    finished_at = NULL
FROM liteq_job AS job
WHERE job.id = :job_id
  AND job.state IN (@completed, @dead, @cancelled)
  AND job.aftermath & 2
  AND liteq_batch.id = job.batch_id;

-- name: callbacks
SELECT on_complete, on_success, on_failure, complete_job, success_job, failure_job
FROM liteq_batch
WHERE id = :batch_id;

-- name: note_callbacks
UPDATE liteq_batch
SET complete_job = coalesce(complete_job, :complete_job),
    success_job  = coalesce(success_job, :success_job),
    failure_job  = coalesce(failure_job, :failure_job),
    error        = coalesce(error, :error)
WHERE id = :batch_id;

-- name: cancel_batch
UPDATE liteq_batch
SET cancelled_at = :now
WHERE id = :batch_id
  AND finished_at IS NULL
  AND cancelled_at IS NULL
RETURNING id;

-- name: batch_state
SELECT cancelled_at IS NOT NULL
FROM liteq_batch
WHERE id = :batch_id;

-- name: get_batch
SELECT id, name, jobs, completed, dead, cancelled, max_failed, created_at, finished_at, cancelled_at,
       success_job, failure_job, complete_job, error
FROM liteq_batch
WHERE id = :batch_id;

-- name: list_batches
SELECT id, name, jobs, completed, dead, cancelled, max_failed, created_at, finished_at, cancelled_at,
       success_job, failure_job, complete_job, error
FROM liteq_batch
WHERE id < :before_id
  AND (NOT :live OR finished_at IS NULL)
ORDER BY id DESC
LIMIT :limit;

-- name: batch_links
-- Who waited for whom among the members.
SELECT link.parent_id, link.child_id
FROM liteq_job AS child
CROSS JOIN liteq_dependency AS link ON link.child_id = child.id
WHERE child.batch_id = :batch_id
  AND child.aftermath & 2;

-- name: prunable_batches
-- Finished long enough ago, and none of their jobs is kept any more.
SELECT id
FROM liteq_batch
WHERE finished_at < :finished_before
  AND NOT EXISTS (SELECT 1 FROM liteq_job WHERE batch_id = liteq_batch.id)
ORDER BY id
LIMIT :limit;

-- name: forget_batches
DELETE FROM liteq_batch
WHERE id IN (SELECT value FROM json_each(:batch_ids));

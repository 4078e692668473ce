-- name: states_of
-- The states of jobs that are to be parents.
SELECT id, state
FROM liteq_job
WHERE id IN (SELECT value FROM json_each(:job_ids));

-- name: link
INSERT INTO liteq_dependency (parent_id, child_id, policy, place)
VALUES (:parent_id, :child_id, :policy, :place);

-- name: note_children
-- 1: what follows from the end of each is that its children are told.
UPDATE liteq_job
SET aftermath = aftermath | 1
WHERE id IN (SELECT value FROM json_each(:job_ids));

-- name: parents
-- In the order in which they were given.
SELECT link.parent_id
FROM liteq_dependency AS link
WHERE link.child_id = :job_id
ORDER BY link.place;

-- name: children
SELECT link.child_id
FROM liteq_dependency AS link
WHERE link.parent_id = :job_id
  AND link.child_id > :after
ORDER BY link.child_id
LIMIT :limit;

-- name: begin_fanout
-- A parent that ended has children to tell. One that is told of already, and ended once more, is left as it is.
INSERT INTO liteq_fanout (parent_id, failed)
VALUES (:parent_id, :failed)
ON CONFLICT (parent_id) DO NOTHING;

-- name: have_told
-- Ended again, the parent has nobody to tell any more but children that came meanwhile.
UPDATE liteq_job
SET aftermath = aftermath & ~1
WHERE id IN (SELECT value FROM json_each(:job_ids));

-- name: fanout
SELECT parent_id, failed, after_child
FROM liteq_fanout
ORDER BY parent_id
LIMIT 1;

-- name: children_to_tell
SELECT child_id, policy
FROM liteq_dependency
WHERE parent_id = :parent_id
  AND child_id > :after_child
ORDER BY child_id
LIMIT :limit;

-- name: advance_fanout
UPDATE liteq_fanout
SET after_child = :after_child
WHERE parent_id = :parent_id;

-- name: end_fanout
DELETE FROM liteq_fanout
WHERE parent_id = :parent_id;

-- name: unblock
-- waiting -> waiting / ready / blocked / scheduled: one parent fewer.
UPDATE liteq_job
SET parents_left = parents_left - 1,
    state        = CASE WHEN parents_left > 1 THEN @waiting
                        WHEN run_at > :now THEN @scheduled
                        WHEN concurrency_key IS NULL THEN @ready
                        ELSE @blocked END
WHERE id IN (SELECT value FROM json_each(:job_ids))
  AND state = @waiting
RETURNING concurrency_key;

-- name: cancel_children
-- waiting -> cancelled, because a parent did not complete.
UPDATE liteq_job
SET state       = @cancelled,
    reason      = :reason,
    finished_at = :now,
    unique_slot = iif(unique_scope <= 2, NULL, unique_slot)
WHERE id IN (SELECT value FROM json_each(:job_ids))
  AND state = @waiting
RETURNING id, aftermath, queue, task;

-- name: unlink
DELETE FROM liteq_dependency
WHERE child_id IN (SELECT value FROM json_each(:job_ids));

-- name: unlink_children
DELETE FROM liteq_dependency
WHERE parent_id = :parent_id
  AND NOT EXISTS (SELECT 1 FROM liteq_job WHERE id = :parent_id);

-- name: fallback_of
SELECT on_dead, batch_id
FROM liteq_job
WHERE id = :job_id;

-- name: append_reason
UPDATE liteq_job
SET reason = coalesce(reason, '') || :reason
WHERE id = :job_id;

-- name: states_of
-- The states of jobs that are to be parents.
SELECT id, state
FROM liteq_job
WHERE id IN (SELECT value FROM json_each(:job_ids));

-- name: link
-- Of a parent that has ended the child knows already: should it end again, that is none of the child's concern.
INSERT INTO liteq_dependency (parent_id, child_id, policy, place, told)
VALUES (:parent_id, :child_id, :policy, :place, :told);

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
-- A parent that ended has children to tell, those it has now: who comes after a requeue waits for the next end.
INSERT INTO liteq_fanout (parent_id, up_to_child, failed)
VALUES (:parent_id, coalesce((SELECT max(child_id) FROM liteq_dependency WHERE parent_id = :parent_id), 0), :failed)
ON CONFLICT (parent_id, up_to_child) DO NOTHING;

-- name: have_told
-- Ended again, the parent has nobody to tell any more but children that came meanwhile.
UPDATE liteq_job
SET aftermath = aftermath & ~1
WHERE id IN (SELECT value FROM json_each(:job_ids));

-- name: fanout
SELECT parent_id, up_to_child, failed, after_child
FROM liteq_fanout
ORDER BY parent_id, up_to_child
LIMIT 1;

-- name: tell_children
-- Each child is told once by each parent, however often that ends.
UPDATE liteq_dependency
SET told = 1
WHERE parent_id = :parent_id
  AND child_id IN (SELECT child_id
                   FROM liteq_dependency
                   WHERE parent_id = :parent_id
                     AND child_id > :after_child
                     AND child_id <= :up_to_child
                     AND NOT told
                   ORDER BY child_id
                   LIMIT :limit)
RETURNING child_id, policy;

-- name: advance_fanout
UPDATE liteq_fanout
SET after_child = :after_child
WHERE parent_id = :parent_id
  AND up_to_child = :up_to_child;

-- name: end_fanout
DELETE FROM liteq_fanout
WHERE parent_id = :parent_id
  AND up_to_child = :up_to_child;

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
-- Of a parent that is gone, once it has nobody left to tell.
DELETE FROM liteq_dependency
WHERE parent_id = :parent_id
  AND NOT EXISTS (SELECT 1 FROM liteq_job WHERE id = :parent_id)
  AND NOT EXISTS (SELECT 1 FROM liteq_fanout WHERE parent_id = :parent_id);

-- name: fallback_of
SELECT on_dead, batch_id
FROM liteq_job
WHERE id = :job_id;

-- name: append_reason
UPDATE liteq_job
SET reason = coalesce(reason, '') || :reason
WHERE id = :job_id;

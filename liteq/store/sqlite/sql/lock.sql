-- name: enrol_holder
INSERT INTO liteq_holder (id, pid, pid_start, boot_id, pid_namespace, life_ino)
VALUES (:holder_id, :pid, :pid_start, :boot_id, :pid_namespace, :life_ino);

-- name: holders
SELECT id, pid, pid_start, boot_id, pid_namespace, life_ino
FROM liteq_holder
ORDER BY id;

-- name: has_holder
SELECT id
FROM liteq_holder
WHERE id = :holder_id;

-- name: strike_holder
DELETE FROM liteq_holder
WHERE id = :holder_id;

-- name: strike_idle_holder
DELETE FROM liteq_holder
WHERE id = :holder_id
  AND NOT EXISTS (SELECT 1 FROM liteq_lock WHERE liteq_lock.holder_id = :holder_id)
  AND NOT EXISTS (SELECT 1 FROM liteq_lock_line WHERE liteq_lock_line.holder_id = :holder_id)
RETURNING id;

-- name: lock_state
-- A holder that is gone has no row: then the lock is free.
SELECT lock.freed_at, holder.id, holder.pid, holder.pid_start, holder.boot_id, holder.pid_namespace, holder.life_ino
FROM liteq_lock AS lock
LEFT JOIN liteq_holder AS holder ON holder.id = lock.holder_id
WHERE lock.name = :name;

-- name: take_lock
-- free -> held, with the next token.
INSERT INTO liteq_lock (name, token, holder_id, job_id, attempt, taken_at, freed_at, what)
VALUES (:name, 1, :holder_id, :job_id, :attempt, :now, NULL, :what)
ON CONFLICT (name) DO UPDATE
SET token     = token + 1,
    holder_id = excluded.holder_id,
    job_id    = excluded.job_id,
    attempt   = excluded.attempt,
    taken_at  = excluded.taken_at,
    freed_at  = NULL,
    what      = excluded.what
WHERE NOT EXISTS (SELECT 1 FROM liteq_holder WHERE id = liteq_lock.holder_id)
RETURNING token;

-- name: release_lock
-- held -> free, by its holder. No row comes back when it is no longer held under that token.
UPDATE liteq_lock
SET holder_id = NULL,
    job_id    = NULL,
    attempt   = NULL,
    freed_at  = :now
WHERE name = :name
  AND token = :token
  AND holder_id IS NOT NULL
RETURNING token;

-- name: break_lock
-- held -> free, by a person.
UPDATE liteq_lock
SET holder_id = NULL,
    job_id    = NULL,
    attempt   = NULL,
    freed_at  = :now
WHERE name = :name
  AND holder_id IS NOT NULL
RETURNING token;

-- name: locks_of_job
SELECT name
FROM liteq_lock
WHERE job_id = :job_id
  AND attempt = :attempt;

-- name: free_locks_of_job
-- held -> free, because the attempt has ended.
UPDATE liteq_lock
SET holder_id = NULL,
    job_id    = NULL,
    attempt   = NULL,
    freed_at  = :now
WHERE job_id = :job_id
  AND attempt = :attempt
RETURNING name;

-- name: free_locks_of_holder
-- held -> free, because the holder is dead.
UPDATE liteq_lock
SET holder_id = NULL,
    job_id    = NULL,
    attempt   = NULL,
    freed_at  = :now
WHERE name IN (SELECT name FROM liteq_lock WHERE holder_id = :holder_id LIMIT :limit)
RETURNING name;

-- name: holds_lock
SELECT token
FROM liteq_lock
WHERE name = :name
  AND token = :token
  AND holder_id = :holder_id;

-- name: get_lock
SELECT lock.name, lock.token, lock.what, lock.taken_at, lock.job_id, lock.attempt,
       (SELECT count(*) FROM liteq_lock_line AS line WHERE line.name = lock.name),
       holder.id, holder.pid, holder.pid_start, holder.boot_id, holder.pid_namespace, holder.life_ino
FROM liteq_lock AS lock
JOIN liteq_holder AS holder ON holder.id = lock.holder_id
WHERE lock.name = :name;

-- name: list_locks
SELECT lock.name, lock.token, lock.what, lock.taken_at, lock.job_id, lock.attempt,
       (SELECT count(*) FROM liteq_lock_line AS line WHERE line.name = lock.name),
       holder.id, holder.pid, holder.pid_start, holder.boot_id, holder.pid_namespace, holder.life_ino
FROM liteq_lock AS lock
CROSS JOIN liteq_holder AS holder ON holder.id = lock.holder_id
WHERE lock.name > :after
ORDER BY lock.name
LIMIT :limit;

-- name: join_line
INSERT INTO liteq_lock_line (name, holder_id)
VALUES (:name, :holder_id)
RETURNING id;

-- name: leave_line
DELETE FROM liteq_lock_line
WHERE id = :place;

-- name: leave_lines_of_holder
DELETE FROM liteq_lock_line
WHERE holder_id = :holder_id;

-- name: line_ahead
SELECT count(*)
FROM liteq_lock_line
WHERE name = :name
  AND id < :place;

-- name: first_in_line
SELECT holder.id, holder.pid, holder.pid_start, holder.boot_id, holder.pid_namespace, holder.life_ino
FROM liteq_lock_line AS line
CROSS JOIN liteq_holder AS holder ON holder.id = line.holder_id
WHERE line.name = :name
ORDER BY line.id
LIMIT 1;

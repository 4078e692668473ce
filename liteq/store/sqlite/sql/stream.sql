-- name: extend_stream
-- Room and numbers for new parts. A late worker gets none: no row comes back.
INSERT INTO liteq_stream (job_id, last_seq, parts, bytes)
SELECT id, :parts, :parts, :bytes
FROM liteq_job
WHERE id = :job_id
  AND attempt = :attempt
  AND owner = :worker_id
  AND state = @running
ON CONFLICT (job_id) DO UPDATE
SET last_seq = last_seq + excluded.parts,
    parts    = parts + excluded.parts,
    bytes    = bytes + excluded.bytes
RETURNING last_seq, parts, bytes;

-- name: add_part
INSERT INTO liteq_part (job_id, seq, attempt, published_at, value)
VALUES (:job_id, :seq, :attempt, :published_at, :value);

-- name: shed_parts
-- The oldest parts of earlier attempts make room.
DELETE FROM liteq_part
WHERE job_id = :job_id
  AND seq IN (SELECT seq
              FROM liteq_part
              WHERE job_id = :job_id
                AND attempt < :attempt
              ORDER BY seq
              LIMIT :limit)
RETURNING length(value);

-- name: note_shed
UPDATE liteq_stream
SET parts   = parts - :parts,
    bytes   = bytes - :bytes,
    dropped = dropped + :parts
WHERE job_id = :job_id;

-- name: parts
SELECT job_id, seq, attempt, published_at, value
FROM liteq_part
WHERE job_id = :job_id
  AND seq > :after
ORDER BY seq
LIMIT :limit;

-- name: streams
SELECT job_id, last_seq, parts, bytes, dropped
FROM liteq_stream
WHERE job_id IN (SELECT value FROM json_each(:job_ids));

-- name: forget_parts
DELETE FROM liteq_part
WHERE job_id IN (SELECT value FROM json_each(:job_ids));

-- name: forget_streams
DELETE FROM liteq_stream
WHERE job_id IN (SELECT value FROM json_each(:job_ids));

-- name: tag
INSERT INTO liteq_tag (tag, job_id)
VALUES (:tag, :job_id)
ON CONFLICT DO NOTHING;

-- name: tags_of
SELECT tag
FROM liteq_tag
WHERE job_id = :job_id
ORDER BY tag;

-- name: untag
DELETE FROM liteq_tag
WHERE job_id IN (SELECT value FROM json_each(:job_ids));

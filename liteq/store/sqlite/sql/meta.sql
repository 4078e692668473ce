-- name: schema_version
SELECT value
FROM liteq_meta
WHERE key = 'schema_version';

-- name: last_job_id
SELECT seq
FROM sqlite_sequence
WHERE name = 'liteq_job';

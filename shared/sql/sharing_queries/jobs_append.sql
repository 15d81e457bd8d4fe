INSERT INTO deltashare.sync_jobs (sync_job_id, job_uid, kind, scope, status, at, requested_by, started_at, counts, error_message)
VALUES (gen_random_uuid(), %(uid)s, %(kind)s, %(scope)s, %(status)s, %(at)s, %(requested_by)s, %(started_at)s, %(counts)s, %(error)s)

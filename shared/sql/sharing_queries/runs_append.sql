INSERT INTO deltashare.job_metrics (job_metric_id, workspace_url, run_id, job_id, job_name, result, started_at, ended_at,
                                    creator, job_uid)
VALUES (gen_random_uuid(), %(scope)s, %(run_id)s, %(job_id)s, %(name)s, %(result)s, %(started_at)s, %(ended_at)s,
        %(creator)s, %(job)s)
ON CONFLICT (workspace_url, run_id) WHERE job_uid IS NOT NULL DO NOTHING

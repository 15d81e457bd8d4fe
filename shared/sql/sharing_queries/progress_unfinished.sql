-- A second request joins the unfinished job; the ceiling of removals that a person names counts for it.
UPDATE deltashare_state.directory_jobs SET allowed_removals = coalesce(%(allowed_removals)s, allowed_removals)
 WHERE kind = %(kind)s AND scope = %(scope)s AND finished_at IS NULL
RETURNING job_uid

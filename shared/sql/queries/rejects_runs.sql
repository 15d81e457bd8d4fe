-- The runs that will take these entities' rejects up, or are at it.
SELECT DISTINCT ON (entity_uid) entity_uid, uid FROM {schema}.sync_runs
WHERE entity_uid = ANY (%(entities)s) AND purpose = 'retry' AND status IN ('queued', 'running')
ORDER BY entity_uid, created_at DESC

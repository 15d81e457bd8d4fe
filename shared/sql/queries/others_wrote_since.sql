-- A run of the other lane that was at work after the moment may have written rows newer than our page.
SELECT 1 FROM {schema}.sync_runs
WHERE entity_uid = %(entity)s AND uid <> %(run)s AND purpose <> 'verify' AND started_at IS NOT NULL
  AND (completed_at IS NULL OR completed_at > %(moment)s)
LIMIT 1

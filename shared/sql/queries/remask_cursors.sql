-- A source's cursor may spell the key it stood at.
UPDATE {schema}.sync_slices s SET cursor = NULL FROM {schema}.sync_runs r
WHERE r.uid = s.run_uid AND r.entity_uid = %(entity)s AND s.cursor IS NOT NULL

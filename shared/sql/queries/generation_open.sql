-- A new generation: versions stored before this moment no longer count, and all that began earlier is fenced.
UPDATE {schema}.erp_sync_state SET generation = generation + 1, versions_since = clock_timestamp(), watermark = NULL, probe = NULL
WHERE entity_uid = %(entity)s RETURNING generation

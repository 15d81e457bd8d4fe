-- Connectors with a slice that waits for a slot, and how many slots each has.
SELECT c.uid, coalesce(c.max_concurrent_syncs, %(default_limit)s) AS limit_of_connector FROM {schema}.connectors c
WHERE EXISTS (SELECT 1 FROM {schema}.sync_slices s WHERE s.connector_uid = c.uid AND s.status = 'queued'
              AND NOT s.admitted AND s.next_attempt_at <= clock_timestamp())

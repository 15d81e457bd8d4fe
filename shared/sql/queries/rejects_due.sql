-- Rejects of one moment share the chunk that refused them, so one moment tells what is newer than all of them.
SELECT uid, raw, updated_at FROM {schema}.failed_records
WHERE entity_uid = %(entity)s AND status = 'open' AND next_attempt_at <= clock_timestamp() AND updated_at = (
    SELECT min(updated_at) FROM {schema}.failed_records
    WHERE entity_uid = %(entity)s AND status = 'open' AND next_attempt_at <= clock_timestamp())
ORDER BY uid LIMIT %(limit)s

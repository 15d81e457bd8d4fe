-- Rejects of one moment share the chunk that refused them, so one moment tells what is newer than all of them.
SELECT uid, raw, refused_at FROM {schema}.failed_records
WHERE entity_uid = %(entity)s AND status = 'open' AND next_attempt_at <= clock_timestamp() AND refused_at = (
    SELECT min(refused_at) FROM {schema}.failed_records
    WHERE entity_uid = %(entity)s AND status = 'open' AND next_attempt_at <= clock_timestamp())
ORDER BY uid LIMIT %(limit)s

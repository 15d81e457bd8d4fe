-- Keys with an open reject; few, or the entity has larger worries.
SELECT key_hash FROM {schema}.failed_records WHERE entity_uid = %(entity)s AND status = 'open' AND key_hash IS NOT NULL

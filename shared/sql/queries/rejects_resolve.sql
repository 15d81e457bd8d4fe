-- A good row answers the open reject of its key, unless the reject is of a newer version.
UPDATE {schema}.failed_records f SET status = 'resolved', updated_at = now()
FROM unnest(%(keys)s::text[], %(versions)s::text[]) AS landed (key_hash, version)
WHERE f.entity_uid = %(entity)s AND f.status = 'open' AND f.key_hash = landed.key_hash::uuid
  AND (f.version IS NULL OR landed.version IS NULL OR f.version COLLATE "C" <= landed.version COLLATE "C")

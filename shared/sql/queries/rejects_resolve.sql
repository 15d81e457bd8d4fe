-- A good row answers the open reject of its key, unless the reject is of a newer version. The landed copy of a key that
-- stands twice, met again, answers nothing: the other copy may still come, and the pass's end tells whether it did.
UPDATE {schema}.failed_records f SET
    status = CASE WHEN landed.standing AND f.code = 'duplicate_key' THEN f.status ELSE 'resolved' END,
    updated_at = CASE WHEN landed.standing AND f.code = 'duplicate_key' THEN f.updated_at ELSE now() END,
    rival_met_at = now()
FROM unnest(%(keys)s::text[], %(versions)s::text[], %(standing)s::bool[]) AS landed (key_hash, version, standing)
WHERE f.entity_uid = %(entity)s AND f.status = 'open' AND f.key_hash = landed.key_hash::uuid
  AND (f.version IS NULL OR landed.version IS NULL OR f.version COLLATE "C" <= landed.version COLLATE "C")

-- A good row answers the open reject of its key, though it has to wait.
UPDATE {schema}.failed_records f SET status = 'resolved', updated_at = now() FROM chunk_held u
WHERE f.entity_uid = %(entity)s AND f.status = 'open' AND f.key_hash = u._bridge_erp_key_hash
  AND (f.version IS NULL OR u._bridge_erp_rowversion IS NULL OR f.version COLLATE "C" <= u._bridge_erp_rowversion)

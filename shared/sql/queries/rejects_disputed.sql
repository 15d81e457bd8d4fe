-- Keys that stand twice at the source: one copy landed and was met by this pass, the other is rejected while both come.
SELECT key_hash FROM {schema}.failed_records
WHERE entity_uid = %(entity)s AND status = 'open' AND key_hash IS NOT NULL AND code = 'duplicate_key'
  AND rival_met_at >= %(began)s

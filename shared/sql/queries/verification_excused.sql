-- Keys that may differ for a reason that is known: open rejects, and rows that one more pass would delete.
SELECT key_hash, 'reject' AS why FROM {schema}.failed_records
WHERE entity_uid = %(entity)s AND status = 'open' AND key_hash IS NOT NULL
UNION ALL
SELECT key_hash, 'awaiting_delete' FROM {schema}.missing_keys WHERE entity_uid = %(entity)s

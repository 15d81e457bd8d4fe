-- Closed ones too. Under a newly masked key, the record's own key tells it in plain.
UPDATE {schema}.failed_records SET
    raw = %(forgotten)s, normalized = NULL, error_details = NULL, updated_at = now(),
    key = CASE WHEN %(keys)s THEN NULL ELSE key END, key_hash = CASE WHEN %(keys)s THEN NULL ELSE key_hash END,
    status = CASE WHEN %(keys)s AND status = 'open' THEN 'discarded' ELSE status END
WHERE entity_uid = %(entity)s

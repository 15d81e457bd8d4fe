-- One open reject a key, the newest version; a row without a key is kept once per raw text.
WITH newest AS (
    SELECT DISTINCT ON (coalesce(key_hash::text, md5(raw), uid::text)) *
    FROM chunk_rejects ORDER BY coalesce(key_hash::text, md5(raw), uid::text), version COLLATE "C" DESC NULLS LAST, uid
)
INSERT INTO {schema}.failed_records AS f
    (uid, run_uid, entity_uid, key, key_hash, version, stage, "column", code, message, raw)
SELECT n.uid, %(run)s, %(entity)s, n.key, n.key_hash, n.version, n.stage, n."column", n.code, n.message, n.raw
FROM newest n
WHERE n.key_hash IS NOT NULL OR NOT EXISTS (
    SELECT 1 FROM {schema}.failed_records o
    WHERE o.entity_uid = %(entity)s AND o.status = 'open' AND o.key_hash IS NULL
      AND o.code = n.code AND o.raw IS NOT DISTINCT FROM n.raw)
ON CONFLICT (entity_uid, key_hash) WHERE status = 'open' AND key_hash IS NOT NULL DO UPDATE
SET run_uid = excluded.run_uid, version = excluded.version, stage = excluded.stage, "column" = excluded."column",
    code = excluded.code, message = excluded.message, raw = excluded.raw, updated_at = now(), refused_at = now()
WHERE f.version IS NULL OR excluded.version IS NULL OR excluded.version COLLATE "C" >= f.version COLLATE "C"

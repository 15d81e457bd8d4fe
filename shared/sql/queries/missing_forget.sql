-- Counted under another key's hashes: they name nobody any more.
DELETE FROM {schema}.missing_keys WHERE entity_uid = %(entity)s

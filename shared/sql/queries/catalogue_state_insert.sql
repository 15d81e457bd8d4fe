-- A new entity is due at once.
INSERT INTO {schema}.erp_sync_state (entity_uid) VALUES (%(uid)s) ON CONFLICT (entity_uid) DO NOTHING

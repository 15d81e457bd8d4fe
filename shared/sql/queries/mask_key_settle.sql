-- The first to ask settles it; everybody else learns what was settled.
INSERT INTO {schema}.mask_keys AS m (entity_uid, generation, key_name) VALUES (%(entity)s, %(generation)s, %(key_name)s)
ON CONFLICT (entity_uid, generation) DO UPDATE SET key_name = m.key_name
RETURNING key_name

INSERT INTO {schema}.passes (uid, entity_uid, generation, writes_seen)
VALUES (%(run)s, %(entity)s, %(generation)s, true) RETURNING began_at

-- Known ones are locked all the same: a retry slice that forgets one at this moment must not win.
INSERT INTO {schema}.awaited_parents AS a (entity_uid, parent_uid, key_hash, key, run_uid, next_attempt_at)
SELECT %(entity)s, parent_uid, key_hash, key, %(run)s, clock_timestamp() + make_interval(secs => %(base_s)s * random())
FROM chunk_awaited
ON CONFLICT (entity_uid, parent_uid, key_hash) DO UPDATE SET run_uid = excluded.run_uid, key = excluded.key

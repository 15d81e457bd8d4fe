INSERT INTO {schema}.verifications AS v (uid, entity_uid, source_sums, target_sums)
VALUES (%(run)s, %(entity)s, %(source)s, %(target)s)
ON CONFLICT (uid) DO UPDATE SET source_sums = excluded.source_sums, target_sums = excluded.target_sums

-- The columns that tell an entity's waiting rows apart.
SELECT array_agg(a.attname::text) AS columns FROM pg_constraint c
CROSS JOIN LATERAL unnest(c.conkey) AS k (attnum)
JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.attnum
WHERE c.conrelid = to_regclass(%(table)s) AND c.contype = 'u'

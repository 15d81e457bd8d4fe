-- Whether anybody waits for rows of this table.
SELECT 1 FROM {schema}.awaited_parents WHERE parent_uid = %(parent)s AND arrived_at IS NULL LIMIT 1

-- One row a parent, however many children it has.
UPDATE {schema}.awaited_parents a SET arrived_at = clock_timestamp()
FROM arrived u WHERE a.parent_uid = %(parent)s AND a.key_hash = u.key_hash AND a.arrived_at IS NULL

UPDATE {schema}.awaited_parents a SET arrived_at = clock_timestamp()
FROM judged j WHERE a.parent_uid = %(parent)s AND a.key_hash = j.key_hash AND j.outcome IN ('insert', 'update')
  AND a.arrived_at IS NULL

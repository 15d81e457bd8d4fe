SELECT coalesce(sum(fetched), 0)::bigint AS fetched, coalesce(sum(superseded), 0)::bigint AS superseded,
       coalesce(sum(rejected), 0)::bigint AS rejected
FROM {schema}.sync_slices WHERE run_uid = %(run)s AND slice <> %(slice)s

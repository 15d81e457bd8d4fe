SELECT coalesce(sum(fetched), 0)::bigint AS fetched, coalesce(sum(rejected), 0)::bigint AS rejected,
       coalesce(sum(held), 0)::bigint AS held
FROM {schema}.sync_slices WHERE run_uid = %(run)s

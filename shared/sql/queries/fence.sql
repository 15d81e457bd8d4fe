-- Generation first, slice second: the order in which every transaction takes these locks.
WITH current AS MATERIALIZED (
    SELECT generation FROM {schema}.erp_sync_state WHERE entity_uid = %(entity)s FOR SHARE
)
SELECT s.epoch, current.generation FROM {schema}.sync_slices s, current
WHERE s.run_uid = %(run)s AND s.slice = %(slice)s FOR UPDATE OF s

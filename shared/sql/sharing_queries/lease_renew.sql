-- How many are still held; whoever finds fewer than it took has lost one.
WITH renewed AS (
    UPDATE deltashare_state.leases l SET lease_until = clock_timestamp() + make_interval(secs => %(lease_s)s)
      FROM unnest(%(names)s::text[], %(fences)s::bigint[]) AS h (name, fence)
     WHERE l.workspace = %(workspace)s AND l.name = h.name AND l.holder = %(holder)s AND l.fence = h.fence
       AND l.lease_until > clock_timestamp()
    RETURNING 1
)
SELECT count(*) AS held FROM renewed

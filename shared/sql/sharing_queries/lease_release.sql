-- The row stays, because its fence must go on rising.
UPDATE deltashare_state.leases l SET lease_until = '-infinity'
  FROM unnest(%(names)s::text[], %(fences)s::bigint[]) AS h (name, fence)
 WHERE l.workspace = %(workspace)s AND l.name = h.name AND l.holder = %(holder)s AND l.fence = h.fence

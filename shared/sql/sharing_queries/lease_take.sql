-- Free, run out, or the holder's own: else no row. Each taking raises the fence.
INSERT INTO deltashare_state.leases AS l (workspace, name, holder, lease_until)
VALUES (%(workspace)s, %(name)s, %(holder)s, clock_timestamp() + make_interval(secs => %(lease_s)s))
ON CONFLICT (workspace, name) DO UPDATE
   SET holder = excluded.holder, fence = l.fence + 1,
       lease_until = clock_timestamp() + make_interval(secs => %(lease_s)s)
 WHERE l.holder = excluded.holder OR l.lease_until <= clock_timestamp()
RETURNING fence

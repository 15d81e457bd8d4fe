-- A table is fresh when a run proved it current, or a probe found it unchanged since, within two of its intervals.
WITH seen AS (
    SELECT e.uid, e.sync_enabled, s.fresh_at AS at,
           CASE WHEN e.adaptive AND (s.adapted #>> '{{interval,base}}')::int = coalesce(e.sync_interval_seconds, %(default_interval_s)s)
    THEN (s.adapted #>> '{{interval,seconds}}')::int ELSE coalesce(e.sync_interval_seconds, %(default_interval_s)s) END AS interval_s
      FROM {schema}.entities e
      JOIN {schema}.connectors c ON c.uid = e.connector_uid
      LEFT JOIN {schema}.erp_sync_state s ON s.entity_uid = e.uid
     WHERE NOT e.is_deleted AND (%(tenants)s::text[] IS NULL OR c.tenant = ANY (%(tenants)s))
       AND (%(entity_uid)s::uuid IS NULL OR e.uid = %(entity_uid)s)
       AND (%(connector_uid)s::uuid IS NULL OR c.uid = %(connector_uid)s)
), recent AS (
    SELECT r.uid, r.status FROM {schema}.sync_runs r JOIN seen ON seen.uid = r.entity_uid
     WHERE r.created_at > now() - interval '24 hours'
), moved AS (
    SELECT coalesce(sum(l.fetched), 0)::bigint AS fetched, coalesce(sum(l.inserted), 0)::bigint AS inserted,
           coalesce(sum(l.updated), 0)::bigint AS updated, coalesce(sum(l.unchanged), 0)::bigint AS unchanged,
           coalesce(sum(l.superseded), 0)::bigint AS superseded, coalesce(sum(l.rejected), 0)::bigint AS rejected,
           coalesce(sum(l.held), 0)::bigint AS held, coalesce(sum(l.released), 0)::bigint AS released,
           coalesce(sum(l.soft_deleted), 0)::bigint AS soft_deleted
      FROM {schema}.sync_slices l JOIN recent ON recent.uid = l.run_uid
)
SELECT (SELECT count(*) FROM seen) AS entities,
       (SELECT count(*) FROM seen WHERE at > now() - 2 * interval_s * interval '1 second') AS fresh,
       (SELECT count(*) FROM seen WHERE sync_enabled
           AND (at IS NULL OR at <= now() - 2 * interval_s * interval '1 second')) AS stale,
       (SELECT coalesce(jsonb_object_agg(status, n), '{{}}')
          FROM (SELECT status, count(*) AS n FROM recent GROUP BY status) g) AS runs,
       (SELECT to_jsonb(moved) FROM moved) AS rows,
       -- Now, whenever the run began: how much work stands in line.
       (SELECT coalesce(jsonb_object_agg(state, n), '{{}}') FROM (
            SELECT CASE WHEN l.status = 'running' THEN 'running' WHEN l.admitted THEN 'queued' ELSE 'waiting' END AS state,
                   count(*) AS n
              FROM {schema}.sync_slices l JOIN {schema}.sync_runs r ON r.uid = l.run_uid JOIN seen ON seen.uid = r.entity_uid
             WHERE l.status IN ('queued', 'running') GROUP BY 1) g) AS slices,
       (SELECT count(*) FROM {schema}.failed_records f JOIN seen ON seen.uid = f.entity_uid
         WHERE f.status = 'open') AS open_rejects

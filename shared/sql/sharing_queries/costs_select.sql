-- The newest word of each day, of a project that the caller's tenants have.
SELECT DISTINCT ON (c.day, c.currency, c.subscription_id)
       c.day, c.currency, c.subscription_id, c.amount, c.revision, c.recorded_at
  FROM deltashare.project_costs c
  JOIN deltashare.projects p ON p.project_id = c.project_id AND p.is_current AND NOT p.is_deleted
  JOIN deltashare.tenants t ON t.tenant_id = p.tenant_id AND t.is_current
 WHERE c.project_id = %(project_id)s AND (%(tenants)s::text[] IS NULL OR t.name = ANY (%(tenants)s))
   AND (%(since)s::date IS NULL OR c.day >= %(since)s)
 ORDER BY c.day DESC, c.currency, c.subscription_id, c.revision DESC
 LIMIT %(limit)s

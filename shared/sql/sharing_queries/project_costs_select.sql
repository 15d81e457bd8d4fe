-- A day's restated figures follow each other; the newest one counts.
SELECT c.project_id, c.usage_date, c.sku, c.unit, c.quantity, c.cost, c.currency, c.recorded_at
  FROM (SELECT DISTINCT ON (c.natural_key) c.* FROM deltashare.project_costs c
         WHERE c.project_id = %(project_id)s
           AND (%(first)s::date IS NULL OR c.usage_date >= %(first)s)
           AND (%(last)s::date IS NULL OR c.usage_date <= %(last)s)
         ORDER BY c.natural_key, c.recorded_at DESC) c
  JOIN deltashare.projects p ON p.project_id = c.project_id AND p.is_current
  JOIN deltashare.tenants t ON t.tenant_id = p.tenant_id AND t.is_current
 WHERE %(tenants)s::text[] IS NULL OR t.name = ANY (%(tenants)s)
 ORDER BY c.usage_date DESC, c.sku, c.currency
 LIMIT %(limit)s

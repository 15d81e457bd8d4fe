-- A name that several tenants' projects bear says nothing about whose cost it is. No row where the newest says the same.
WITH project AS (
    SELECT (array_agg(project_id))[1] AS project_id FROM deltashare.projects
     WHERE is_current AND NOT is_deleted AND lower(name) = lower(%(project)s) HAVING count(*) = 1
), newest AS (
    SELECT c.amount, c.revision FROM deltashare.project_costs c JOIN project p ON p.project_id = c.project_id
     WHERE c.day = %(day)s AND c.currency = %(currency)s AND c.subscription_id = %(scope)s
     ORDER BY c.revision DESC LIMIT 1
), added AS (
    INSERT INTO deltashare.project_costs (project_cost_id, project_id, subscription_id, day, amount, currency, revision, job_uid)
    SELECT gen_random_uuid(), p.project_id, %(scope)s, %(day)s, %(amount)s, %(currency)s,
           coalesce((SELECT revision FROM newest), 0) + 1, %(job)s
      FROM project p WHERE NOT EXISTS (SELECT FROM newest n WHERE n.amount = %(amount)s)
    RETURNING revision
)
SELECT (SELECT revision FROM added) AS revision, EXISTS (SELECT FROM project) AS known

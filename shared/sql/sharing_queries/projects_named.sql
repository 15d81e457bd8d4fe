SELECT project_id FROM deltashare.projects
 WHERE is_current AND tenant_id = %(tenant_id)s AND lower(name) = lower(%(name)s) ORDER BY is_deleted, project_id LIMIT 1

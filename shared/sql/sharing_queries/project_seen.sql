SELECT EXISTS (SELECT FROM deltashare.projects p JOIN deltashare.tenants t ON t.tenant_id = p.tenant_id AND t.is_current
                WHERE p.project_id = %(project_id)s AND p.is_current AND NOT p.is_deleted
                  AND (%(tenants)s::text[] IS NULL OR t.name = ANY (%(tenants)s))) AS seen

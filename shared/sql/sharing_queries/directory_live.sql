SELECT count(*) AS live FROM (
    SELECT 'users' AS kind, '' AS scope FROM deltashare.users WHERE is_current AND NOT is_deleted AND entra_id IS NOT NULL
    UNION ALL
    SELECT 'groups', '' FROM deltashare.ad_groups WHERE is_current AND NOT is_deleted AND entra_id IS NOT NULL
    UNION ALL
    SELECT 'workspace_objects', workspace_url FROM deltashare.databricks_objects WHERE is_current AND NOT is_deleted
) AS all_of_them WHERE kind = %(kind)s AND scope = %(scope)s

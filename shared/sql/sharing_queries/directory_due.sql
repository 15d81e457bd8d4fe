-- Live ones that the job marked gone, or after a full walk those that it did not see.
SELECT e.key FROM (
    SELECT 'users' AS kind, '' AS scope, entra_id AS key FROM deltashare.users WHERE is_current AND NOT is_deleted AND entra_id IS NOT NULL
    UNION ALL
    SELECT 'groups', '', entra_id FROM deltashare.ad_groups WHERE is_current AND NOT is_deleted AND entra_id IS NOT NULL
    UNION ALL
    SELECT 'workspace_objects', workspace_url, full_name FROM deltashare.databricks_objects WHERE is_current AND NOT is_deleted
) AS e
  LEFT JOIN deltashare_state.directory_marks m ON m.job_uid = %(job)s AND m.id = e.key
 WHERE e.kind = %(kind)s AND e.scope = %(scope)s
   AND CASE WHEN %(full)s THEN m.present IS NOT TRUE ELSE m.present IS FALSE END
 ORDER BY e.key

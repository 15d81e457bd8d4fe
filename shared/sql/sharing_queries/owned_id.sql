SELECT id FROM (
    SELECT 'share' AS kind, share_id AS id, name, is_deleted FROM deltashare.shares WHERE workspace_url = %(workspace)s AND is_current
    UNION ALL
    SELECT 'recipient', recipient_id, name, is_deleted FROM deltashare.recipients WHERE workspace_url = %(workspace)s AND is_current
    UNION ALL
    SELECT 'pipeline', pipeline_id, pipeline_type || '|' || name, is_deleted
      FROM deltashare.pipelines WHERE workspace_url = %(workspace)s AND is_current
) AS all_of_them
 WHERE kind = %(kind)s AND lower(name) = lower(%(name)s) ORDER BY is_deleted, id LIMIT 1

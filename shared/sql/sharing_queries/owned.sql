WITH owned AS (
    SELECT 'share' AS kind, share_id AS id, name, origin, owned_since, owned_by, share_pack_id, NULL AS allowed_ips
      FROM deltashare.shares WHERE workspace_url = %(workspace)s AND is_current AND NOT is_deleted
    UNION ALL
    SELECT 'recipient', recipient_id, name, origin, owned_since, owned_by, share_pack_id, allowed_ips
      FROM deltashare.recipients WHERE workspace_url = %(workspace)s AND is_current AND NOT is_deleted
    UNION ALL
    SELECT 'pipeline', pipeline_id, pipeline_type || '|' || name, origin, owned_since, owned_by, share_pack_id, NULL
      FROM deltashare.pipelines WHERE workspace_url = %(workspace)s AND is_current AND NOT is_deleted
)
SELECT o.*, p.business_line
  FROM owned o LEFT JOIN deltashare.share_packs p ON p.share_pack_id = o.share_pack_id AND p.is_current
 ORDER BY o.kind, o.name

SELECT l.plan_uid, l.application_uid, l.share_pack_id, l.pack_version, l.plan_hash, l.document, l.widens, l.created_at,
       l.requestor, l.requestor_oid, l.uploader_oid,
       a.decision, a.approver_oid, a.approver_name, a.reason, a.decided_at
  FROM deltashare_state.plans l
  JOIN deltashare.share_packs p ON p.share_pack_id = l.share_pack_id AND p.is_current AND NOT p.is_deleted
  LEFT JOIN deltashare_state.approvals a ON a.plan_uid = l.plan_uid
 WHERE l.share_pack_id = %(share_pack_id)s
   AND (%(tenants)s::text[] IS NULL OR p.business_line = ANY (%(tenants)s))
 ORDER BY l.created_at DESC LIMIT 1

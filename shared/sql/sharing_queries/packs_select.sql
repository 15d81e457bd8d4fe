-- Current packs the caller may see, newest first, after the cursor; with the steps of their last application.
SELECT p.share_pack_id, p.share_pack_name, p.share_pack_status, p.strategy, p.version, p.business_line, p.workspace_url,
       p.requestor, p.requestor_oid, p.uploaded_by, p.uploader_oid, p.requested_at, p.effective_from, p.error_message,
       p.validation_errors, p.validation_warnings, p.start_at, p.content_hash, p.project_id, p.request_id,
       a.application_uid, coalesce(s.steps, '[]') AS steps
  FROM deltashare.share_packs p
  LEFT JOIN LATERAL (SELECT * FROM deltashare_state.applications a WHERE a.share_pack_id = p.share_pack_id
                      ORDER BY a.created_at DESC LIMIT 1) a ON true
  LEFT JOIN LATERAL (SELECT jsonb_agg(jsonb_build_object('position', j.position, 'action', j.action, 'status', j.status,
                            'detail', coalesce(j.result ->> 'error', '')) ORDER BY j.position) AS steps
                       FROM deltashare_state.journal j WHERE j.application_uid = a.application_uid) s ON true
 WHERE p.is_current AND NOT p.is_deleted
   AND (%(tenants)s::text[] IS NULL OR p.business_line = ANY (%(tenants)s))
   AND (%(share_pack_id)s::uuid IS NULL OR p.share_pack_id = %(share_pack_id)s)
   AND (%(business_line)s::text IS NULL OR p.business_line = %(business_line)s)
   AND (%(state)s::text IS NULL OR p.share_pack_status = %(state)s)
   AND (%(requestor)s::text IS NULL OR lower(p.requestor) = lower(%(requestor)s))
   AND (%(after_at)s::timestamptz IS NULL OR (p.requested_at, p.share_pack_id) < (%(after_at)s, %(after_id)s))
 ORDER BY p.requested_at DESC, p.share_pack_id DESC
 LIMIT %(limit)s

-- Who may not approve is taken from the pack itself. The same plan made again is the same plan, but while nobody decided
-- about it, whoever asked last may not.
INSERT INTO deltashare_state.plans AS k (plan_uid, application_uid, share_pack_id, pack_version, plan_hash, document, widens,
                                    requestor, requestor_oid, uploader_oid)
SELECT %(plan)s, a.application_uid, a.share_pack_id, a.pack_version, %(plan_hash)s, %(document)s, %(widens)s,
       lower(p.requestor), coalesce(p.requestor_oid, ''), coalesce(p.uploader_oid, '')
  FROM deltashare_state.applications a
  JOIN deltashare.share_packs p ON p.share_pack_id = a.share_pack_id AND p.is_current
 WHERE a.application_uid = %(application)s
ON CONFLICT (application_uid, plan_hash) DO UPDATE
   SET document = excluded.document, created_at = clock_timestamp(),
       uploader_oid = CASE WHEN EXISTS (SELECT FROM deltashare_state.approvals d WHERE d.plan_uid = k.plan_uid)
                           THEN k.uploader_oid ELSE excluded.uploader_oid END
RETURNING plan_uid

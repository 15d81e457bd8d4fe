-- Who may not approve is taken from the pack itself. The same plan made again is the same plan.
INSERT INTO deltashare_state.plans (plan_uid, application_uid, share_pack_id, pack_version, plan_hash, document, widens,
                                    requestor, requestor_oid, uploader_oid)
SELECT %(plan)s, a.application_uid, a.share_pack_id, a.pack_version, %(plan_hash)s, %(document)s, %(widens)s,
       lower(p.requestor), coalesce(p.requestor_oid, ''), coalesce(p.uploader_oid, '')
  FROM deltashare_state.applications a
  JOIN deltashare.share_packs p ON p.share_pack_id = a.share_pack_id AND p.is_current
 WHERE a.application_uid = %(application)s
ON CONFLICT (application_uid, plan_hash) DO UPDATE SET document = excluded.document, created_at = clock_timestamp()
RETURNING plan_uid

SELECT l.plan_uid, l.application_uid, l.share_pack_id, l.pack_version, l.plan_hash, l.document, l.widens, l.created_at,
       d.decision, d.approver_oid, d.approver_name, d.reason, d.decided_at
  FROM deltashare_state.applications a
  JOIN deltashare_state.plans l ON l.plan_uid = a.plan_uid
  LEFT JOIN deltashare_state.approvals d ON d.plan_uid = l.plan_uid
 WHERE a.application_uid = %(application)s

INSERT INTO deltashare_state.approvals (approval_uid, plan_uid, plan_hash, decision, approver_oid, approver_name,
                                        requestor, requestor_oid, uploader_oid, reason)
SELECT %(approval)s, l.plan_uid, l.plan_hash, %(decision)s, %(approver_oid)s, %(approver_name)s,
       l.requestor, l.requestor_oid, l.uploader_oid, %(reason)s
  FROM deltashare_state.plans l WHERE l.plan_uid = %(plan)s

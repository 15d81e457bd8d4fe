UPDATE deltashare_state.applications a SET plan_uid = l.plan_uid
  FROM deltashare_state.plans l
 WHERE a.application_uid = %(application)s AND l.application_uid = a.application_uid AND l.plan_hash = %(plan_hash)s

SELECT EXISTS (SELECT FROM deltashare_state.plans l JOIN deltashare_state.approvals a ON a.plan_uid = l.plan_uid
                WHERE l.application_uid = %(application)s AND l.plan_hash = %(plan_hash)s AND a.decision = 'approved') AS approved

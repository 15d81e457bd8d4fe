INSERT INTO deltashare.audit_trail (audit_id, actor, actor_oid, action, target, business_line, share_pack_id, before, after,
                                    plan_hash, reason)
VALUES (gen_random_uuid(), %(actor)s, %(actor_oid)s, %(action)s, %(target)s, %(business_line)s, %(share_pack_id)s,
        %(before)s, %(after)s, %(plan_hash)s, %(reason)s)

SELECT audit_id, at, actor, actor_oid, action, target, business_line, share_pack_id, before, after, plan_hash, reason
  FROM deltashare.audit_trail
 WHERE (%(tenants)s::text[] IS NULL OR business_line = ANY (%(tenants)s))
   AND (%(share_pack_id)s::uuid IS NULL OR share_pack_id = %(share_pack_id)s)
   AND (%(action)s::text IS NULL OR action = %(action)s)
   AND (%(after_at)s::timestamptz IS NULL OR (at, audit_id) < (%(after_at)s, %(after_id)s))
 ORDER BY at DESC, audit_id DESC LIMIT %(limit)s

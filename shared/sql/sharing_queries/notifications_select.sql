SELECT n.notification_id, n.dedupe_key, n.channel, n.kind, n.subject, n.body, n.recipients, n.status, n.attempts, n.at,
       n.share_pack_id, n.error_message
  FROM deltashare.notifications n
  LEFT JOIN deltashare.share_packs p ON p.share_pack_id = n.share_pack_id AND p.is_current
 WHERE (%(tenants)s::text[] IS NULL OR p.business_line = ANY (%(tenants)s))
   AND (%(share_pack_id)s::uuid IS NULL OR n.share_pack_id = %(share_pack_id)s)
   AND (%(after_at)s::timestamptz IS NULL OR (n.at, n.notification_id) < (%(after_at)s, %(after_id)s))
 ORDER BY n.at DESC, n.notification_id DESC LIMIT %(limit)s

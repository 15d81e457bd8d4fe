SELECT n.notification_id AS id, n.kind, n.status, n.recipient, n.subject, n.share_pack_id, n.error_message, n.at
  FROM deltashare.notifications n
 WHERE (%(tenants)s::text[] IS NULL OR n.business_line = ANY (%(tenants)s))
   AND (%(after_at)s::timestamptz IS NULL OR (n.at, n.notification_id) < (%(after_at)s, %(after_id)s))
 ORDER BY n.at DESC, n.notification_id DESC LIMIT %(limit)s

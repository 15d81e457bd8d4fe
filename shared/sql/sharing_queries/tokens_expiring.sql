-- Tokens of recipients that are ours, from a week after their end to a month before it.
SELECT name, workspace_url, token_id, token_expires_at
  FROM deltashare.recipients
 WHERE is_current AND NOT is_deleted AND token_id IS NOT NULL
   AND token_expires_at BETWEEN %(now)s - interval '7 days' AND %(now)s + interval '30 days'
 ORDER BY token_expires_at

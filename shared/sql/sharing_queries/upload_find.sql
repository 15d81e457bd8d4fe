SELECT share_pack_id FROM deltashare_state.idempotency
 WHERE business_line = %(business_line)s AND workspace_url = %(workspace_url)s AND content_hash = %(content_hash)s

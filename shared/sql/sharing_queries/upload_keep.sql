INSERT INTO deltashare_state.idempotency (business_line, workspace_url, content_hash, share_pack_id, share_pack_name)
VALUES (%(business_line)s, %(workspace_url)s, %(content_hash)s, %(share_pack_id)s, %(share_pack_name)s)

SELECT application_uid, status, pack_version FROM deltashare_state.applications
 WHERE share_pack_id = %(share_pack_id)s ORDER BY created_at DESC LIMIT 1 FOR UPDATE

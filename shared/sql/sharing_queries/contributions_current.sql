SELECT share_pack_id, workspace, kind, key, valid_from FROM deltashare_state.contributions
 WHERE valid_to = 'infinity' AND (%(share_pack_id)s::uuid IS NULL OR share_pack_id = %(share_pack_id)s)
   AND (%(workspace)s::text IS NULL OR workspace = %(workspace)s)
 ORDER BY workspace, kind, key, share_pack_id

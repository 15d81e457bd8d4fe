-- Not before the same contribution ended last.
INSERT INTO deltashare_state.contributions (contribution_uid, share_pack_id, workspace, kind, key, valid_from)
SELECT gen_random_uuid(), %(share_pack_id)s, %(workspace)s, w.kind, w.key,
       greatest(%(now)s, (SELECT max(c.valid_to) FROM deltashare_state.contributions c
                           WHERE c.share_pack_id = %(share_pack_id)s AND c.workspace = %(workspace)s
                             AND c.kind = w.kind AND c.key = w.key))
  FROM unnest(%(kinds)s::text[], %(keys)s::text[]) AS w (kind, key)

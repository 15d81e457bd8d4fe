-- Never before it began, even where a clock went back.
UPDATE deltashare_state.contributions c
   SET valid_to = greatest(%(now)s, c.valid_from + interval '1 microsecond')
  FROM unnest(%(kinds)s::text[], %(keys)s::text[]) AS g (kind, key)
 WHERE c.share_pack_id = %(share_pack_id)s AND c.workspace = %(workspace)s AND c.valid_to = 'infinity'
   AND c.kind = g.kind AND c.key = g.key

-- Never before it began, even where a clock went back. An object is the same one whatever kind it is called by now.
UPDATE deltashare_state.adopted a
   SET valid_to = greatest(clock_timestamp(), a.valid_from + interval '1 microsecond')
  FROM unnest(%(shares)s::text[], %(kinds)s::text[], %(names)s::text[], %(aliases)s::text[]) AS g (share, kind, name, alias)
 WHERE a.workspace = %(workspace)s AND a.valid_to = 'infinity'
   AND a.share = g.share AND a.kind = g.kind AND a.name = g.name AND a.alias = g.alias

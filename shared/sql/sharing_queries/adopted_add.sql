-- Not before the same thing ended last.
INSERT INTO deltashare_state.adopted (workspace, share, kind, name, object_type, alias, business_line, adopted_by, valid_from)
SELECT %(workspace)s, w.share, w.kind, w.name, w.object_type, w.alias, %(business_line)s, %(by)s,
       greatest(clock_timestamp(), (SELECT max(a.valid_to) FROM deltashare_state.adopted a
                                     WHERE a.workspace = %(workspace)s AND a.share = w.share AND a.kind = w.kind
                                       AND a.name = w.name AND a.alias = w.alias))
  FROM unnest(%(shares)s::text[], %(kinds)s::text[], %(names)s::text[], %(types)s::text[], %(aliases)s::text[])
    AS w (share, kind, name, object_type, alias)

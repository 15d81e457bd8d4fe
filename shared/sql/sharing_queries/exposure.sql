-- Who could read an object at a moment: objects (itself, or the schema or catalog it is in) and grants of one share, at
-- that moment, whichever packs they come from; a caller sees a line if a pack of its tenants had a part in it.
WITH objects AS (
    SELECT c.workspace, split_part(c.key, '|', 1) AS share, split_part(c.key, '|', 3) AS object, c.share_pack_id, c.valid_from
      FROM deltashare_state.contributions c
     WHERE c.kind = 'object' AND c.valid_from <= %(at)s AND %(at)s < c.valid_to
       AND (split_part(c.key, '|', 3) = %(object)s
            OR (split_part(c.key, '|', 2) = 'SCHEMA' AND starts_with(%(object)s, split_part(c.key, '|', 3) || '.')))
), grants AS (
    SELECT c.workspace, split_part(c.key, '|', 1) AS share, split_part(c.key, '|', 2) AS recipient, c.share_pack_id, c.valid_from
      FROM deltashare_state.contributions c
     WHERE c.kind = 'grant' AND c.valid_from <= %(at)s AND %(at)s < c.valid_to
), packs AS (
    SELECT share_pack_id, share_pack_name, business_line FROM deltashare.share_packs WHERE is_current
)
SELECT g.recipient, o.object, o.share, o.workspace,
       array_agg(DISTINCT p.share_pack_name ORDER BY p.share_pack_name) AS packs,
       -- Packs contribute the same thing one beside the other; it is exposed since the first of them.
       greatest(min(o.valid_from), min(g.valid_from)) AS since,
       coalesce((SELECT r.allowed_ips FROM deltashare.recipients r
                  WHERE r.workspace_url = o.workspace AND r.name = g.recipient AND NOT r.is_deleted
                    AND r.effective_from <= %(at)s AND %(at)s < r.effective_to LIMIT 1), '[]') AS networks
  FROM objects o
  JOIN grants g ON g.workspace = o.workspace AND g.share = o.share
  JOIN packs p ON p.share_pack_id IN (o.share_pack_id, g.share_pack_id)
 WHERE (%(tenants)s::text[] IS NULL OR p.business_line = ANY (%(tenants)s))
 GROUP BY g.recipient, o.object, o.share, o.workspace
 ORDER BY g.recipient, o.share, o.object, o.workspace

-- Who could read an object at a moment: objects (itself, or the schema or catalog it is in) and grants of one share, at
-- that moment, whichever packs they come from, or as they were found when the share was adopted; a caller sees a line if a
-- pack of its tenants had a part in it, or an approver of theirs adopted a part of it. Networks NULL: not known here.
WITH moment AS (
    SELECT coalesce(%(at)s::timestamptz, clock_timestamp()) AS at
), objects AS (
    SELECT c.workspace, split_part(c.key, '|', 1) AS share, split_part(c.key, '|', 3) AS object, c.share_pack_id,
           NULL AS business_line, NULL AS adopted_by, c.valid_from
      FROM deltashare_state.contributions c, moment m
     WHERE c.kind = 'object' AND c.valid_from <= m.at AND m.at < c.valid_to
       AND (split_part(c.key, '|', 3) = %(object)s
            OR (split_part(c.key, '|', 2) = 'SCHEMA' AND starts_with(%(object)s, split_part(c.key, '|', 3) || '.')))
    UNION ALL
    SELECT a.workspace, a.share, a.name, NULL, a.business_line,
           CASE WHEN %(tenants)s::text[] IS NULL OR a.business_line = ANY (%(tenants)s) THEN a.adopted_by END, a.valid_from
      FROM deltashare_state.adopted a, moment m
     WHERE a.kind = 'object' AND a.valid_from <= m.at AND m.at < a.valid_to
       AND (a.name = %(object)s OR (a.object_type = 'SCHEMA' AND starts_with(%(object)s, a.name || '.')))
), grants AS (
    SELECT c.workspace, split_part(c.key, '|', 1) AS share, split_part(c.key, '|', 2) AS recipient, c.share_pack_id,
           NULL AS business_line, NULL AS adopted_by, c.valid_from
      FROM deltashare_state.contributions c, moment m
     WHERE c.kind = 'grant' AND c.valid_from <= m.at AND m.at < c.valid_to
    UNION ALL
    SELECT a.workspace, a.share, a.name, NULL, a.business_line,
           CASE WHEN %(tenants)s::text[] IS NULL OR a.business_line = ANY (%(tenants)s) THEN a.adopted_by END, a.valid_from
      FROM deltashare_state.adopted a, moment m
     WHERE a.kind = 'grant' AND a.valid_from <= m.at AND m.at < a.valid_to
), packs AS (
    SELECT share_pack_id, share_pack_name FROM deltashare.share_packs
     WHERE is_current AND (%(tenants)s::text[] IS NULL OR business_line = ANY (%(tenants)s))
)
SELECT g.recipient, o.object, o.share, o.workspace,
       coalesce(array_agg(DISTINCT p.share_pack_name ORDER BY p.share_pack_name)
                FILTER (WHERE p.share_pack_name IS NOT NULL), '{}') AS packs,
       ARRAY(SELECT DISTINCT u FROM unnest(array_agg(ARRAY[o.adopted_by, g.adopted_by])) AS u
              WHERE u IS NOT NULL ORDER BY u) AS adopted_by,
       -- Packs contribute the same thing one beside the other; it is exposed since the first of them.
       greatest(min(o.valid_from), min(g.valid_from)) AS since,
       (SELECT coalesce(r.allowed_ips, '[]') FROM deltashare.recipients r, moment m
         WHERE r.workspace_url = o.workspace AND r.name = g.recipient AND NOT r.is_deleted
           AND r.effective_from <= m.at AND m.at < r.effective_to LIMIT 1) AS networks
  FROM objects o
  JOIN grants g ON g.workspace = o.workspace AND g.share = o.share
  LEFT JOIN packs p ON p.share_pack_id IN (o.share_pack_id, g.share_pack_id)
 WHERE %(tenants)s::text[] IS NULL OR p.share_pack_id IS NOT NULL
    OR ARRAY[o.business_line, g.business_line] && %(tenants)s::text[]
 GROUP BY g.recipient, o.object, o.share, o.workspace
 ORDER BY g.recipient, o.share, o.object, o.workspace

-- The last mark of an id holds.
INSERT INTO deltashare_state.directory_marks AS m (job_uid, id, present)
SELECT %(job_uid)s, id, %(present)s FROM (SELECT DISTINCT unnest(%(ids)s::text[]) AS id) AS marked ORDER BY id
ON CONFLICT (job_uid, id) DO UPDATE SET present = EXCLUDED.present WHERE m.present <> EXCLUDED.present

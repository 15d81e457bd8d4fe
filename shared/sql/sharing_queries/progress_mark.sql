INSERT INTO deltashare_state.directory_marks (job_uid, id, present)
SELECT %(uid)s, u.id, %(present)s FROM unnest(%(ids)s::text[]) AS u (id) GROUP BY u.id
ON CONFLICT (job_uid, id) DO UPDATE SET present = excluded.present

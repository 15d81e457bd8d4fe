INSERT INTO deltashare_state.notices (notice_uid, dedupe_key, channel, notice, due_at)
VALUES (gen_random_uuid(), %(dedupe_key)s, %(channel)s, %(notice)s, %(at)s) ON CONFLICT (dedupe_key, channel) DO NOTHING

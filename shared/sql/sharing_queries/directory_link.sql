-- What the next job of this kind begins with.
INSERT INTO deltashare_state.directory_links (kind, scope, resume) VALUES (%(kind)s, %(scope)s, %(resume)s)
ON CONFLICT (kind, scope) DO UPDATE SET resume = EXCLUDED.resume

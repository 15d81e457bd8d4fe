-- Two uploads of the same bytes: the second waits and finds what the first made.
SELECT pg_advisory_xact_lock(hashtextextended('upload/' || %(business_line)s || '/' || %(workspace_url)s || '/' || %(content_hash)s, 0))

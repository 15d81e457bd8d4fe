-- Of two requests for one recipient the second finds what the first made.
SELECT pg_advisory_xact_lock(hashtextextended('rotation/' || %(workspace)s || '/' || %(recipient)s, 0))

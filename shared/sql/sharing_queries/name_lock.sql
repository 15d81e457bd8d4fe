-- Of several uploads in one second each must see the names of those before it.
SELECT pg_advisory_xact_lock(hashtextextended('share_pack_name/' || %(name)s, 0))

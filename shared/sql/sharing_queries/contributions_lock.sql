SELECT pg_advisory_xact_lock(hashtextextended('contributions/' || %(share_pack_id)s, 0))

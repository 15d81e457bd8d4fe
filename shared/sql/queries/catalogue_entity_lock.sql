-- Creating and changing one slug, and the DDL that follows, go one at a time; the lock dies with the transaction.
SELECT pg_advisory_xact_lock(hashtextextended(%(connector_uid)s::text || '/' || %(slug)s, 0))

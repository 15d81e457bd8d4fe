SELECT pg_advisory_xact_lock(hashtextextended('project_costs/' || %(scope)s, 0))

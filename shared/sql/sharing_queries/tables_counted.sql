SELECT count(*)::int AS tables FROM information_schema.tables WHERE table_schema = 'deltashare' AND table_type = 'BASE TABLE'

-- Tables read in parts: a slice that concludes what others read. Runs with search_path = {schema}.

-- One more kind, beside those that are known when this runs.
DO $$
DECLARE known text;
BEGIN
    SELECT pg_get_constraintdef(oid) INTO STRICT known FROM pg_constraint
     WHERE conrelid = 'sync_slices'::regclass AND conname = 'sync_slices_kind_check';
    ALTER TABLE sync_slices DROP CONSTRAINT sync_slices_kind_check;
    EXECUTE 'ALTER TABLE sync_slices ADD CONSTRAINT sync_slices_kind_check '
         || replace(known, 'ARRAY[', 'ARRAY[''conclude''::text, ');
END $$;

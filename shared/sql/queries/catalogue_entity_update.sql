-- Connector, slug and target never change; updated_at stays where nothing did, so a repeated discovery is silent.
UPDATE {schema}.entities
   SET api_name = %(api_name)s, description = %(description)s, delta_strategy = %(delta_strategy)s,
       business_keys = %(business_keys)s, dialect = %(dialect)s, version = %(version)s,
       pagination = %(pagination)s, ordered_by_rowversion = %(ordered_by_rowversion)s,
       page_size_max = %(page_size_max)s, columns = %(columns)s, parents = %(parents)s,
       reject_threshold_percent = %(reject_threshold_percent)s, parameters = %(parameters)s,
       sync_enabled = %(sync_enabled)s, sync_interval_seconds = %(sync_interval_seconds)s,
       overlap = %(overlap)s, page_size = %(page_size)s, delete_guard_percent = %(delete_guard_percent)s,
       delete_after_missing = %(delete_after_missing)s,
       key_sweep_interval_seconds = %(key_sweep_interval_seconds)s, contract = %(contract)s,
       verify_interval_seconds = %(verify_interval_seconds)s, adaptive = %(adaptive)s, person_set = %(person_set)s,
       warnings = %(warnings)s, updated_at = now()
 WHERE uid = %(uid)s

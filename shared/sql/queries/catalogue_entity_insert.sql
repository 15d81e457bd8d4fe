-- person_set and warnings come as the decision left them.
INSERT INTO {schema}.entities
    (uid, connector_uid, slug, api_name, description, delta_strategy, business_keys, target_schema, target_table,
     dialect, version, pagination, ordered_by_rowversion, page_size_max, columns, parents, parameters, reject_threshold_percent, sync_enabled,
     sync_interval_seconds, overlap, page_size, delete_guard_percent, delete_after_missing,
     key_sweep_interval_seconds, contract, verify_interval_seconds, adaptive, person_set, warnings)
VALUES
    (%(uid)s, %(connector_uid)s, %(slug)s, %(api_name)s, %(description)s, %(delta_strategy)s, %(business_keys)s,
     %(target_schema)s, %(target_table)s, %(dialect)s, %(version)s, %(pagination)s, %(ordered_by_rowversion)s,
     %(page_size_max)s, %(columns)s, %(parents)s, %(parameters)s, %(reject_threshold_percent)s, %(sync_enabled)s, %(sync_interval_seconds)s, %(overlap)s,
     %(page_size)s, %(delete_guard_percent)s, %(delete_after_missing)s, %(key_sweep_interval_seconds)s,
     %(contract)s, %(verify_interval_seconds)s, %(adaptive)s, %(person_set)s, %(warnings)s)

-- Holds the claim until the transaction ends, and renews it; no row where somebody else has it.
UPDATE deltashare_state.applications SET lease_until = clock_timestamp() + make_interval(secs => %(lease_s)s)
 WHERE application_uid = %(application)s AND epoch = %(epoch)s AND status = 'running'
RETURNING share_pack_id

SELECT share_pack_id FROM deltashare_state.applications WHERE application_uid = %(application)s

SELECT user_id AS id, entra_id AS key, principal_name, display_name, mail, enabled, is_deleted FROM deltashare.users
 WHERE is_current AND entra_id = ANY (%(ids)s)

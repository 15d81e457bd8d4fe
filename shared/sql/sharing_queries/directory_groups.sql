SELECT ad_group_id AS id, entra_id AS key, display_name, mail, security, is_deleted FROM deltashare.ad_groups
 WHERE is_current AND entra_id = ANY (%(ids)s)

SELECT databricks_object_id AS id, full_name AS key, object_type, owner, is_deleted FROM deltashare.databricks_objects
 WHERE is_current AND workspace_url = %(scope)s AND full_name = ANY (%(ids)s)

SELECT share, kind, name, object_type, alias FROM deltashare_state.adopted
 WHERE workspace = %(workspace)s AND (%(share)s::text IS NULL OR share = %(share)s) AND valid_to = 'infinity'

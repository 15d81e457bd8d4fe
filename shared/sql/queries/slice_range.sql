UPDATE {schema}.sync_slices SET cursor = %(cursor)s,
    key_range = jsonb_build_object('after', %(cursor)s::jsonb #> '{{walk,cursor}}', 'until', %(cursor)s::jsonb #> '{{walk,until}}')
WHERE run_uid = %(run)s AND slice = %(slice)s

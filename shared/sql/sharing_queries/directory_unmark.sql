-- What an earlier attempt saw says nothing about this one.
DELETE FROM deltashare_state.directory_marks WHERE job_uid = %(job_uid)s

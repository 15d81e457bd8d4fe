DELETE FROM deltashare_state.directory_marks WHERE job_uid = %(uid)s

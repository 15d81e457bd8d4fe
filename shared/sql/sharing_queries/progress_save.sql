UPDATE deltashare_state.directory_jobs
   SET cursor = %(cursor)s, resume = %(resume)s, is_full = %(full)s, is_proven = %(proven)s, counts = %(counts)s,
       failures = %(failures)s, lease_until = clock_timestamp() + make_interval(secs => %(lease_s)s)
 WHERE job_uid = %(uid)s AND epoch = %(epoch)s AND finished_at IS NULL AND lease_until IS NOT NULL

-- A page is kept; nothing where another delivery took the job.
UPDATE deltashare_state.directory_jobs
   SET position = %(position)s,
       is_full = %(is_full)s,
       resume = %(resume)s,
       proven = %(proven)s,
       counts = %(counts)s,
       failures = %(failures)s,
       lease_until = clock_timestamp() + make_interval(secs => %(lease_s)s)
 WHERE job_uid = %(job_uid)s AND epoch = %(epoch)s AND finished_at IS NULL

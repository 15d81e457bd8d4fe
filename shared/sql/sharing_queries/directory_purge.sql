-- Ended jobs stay in deltashare.sync_jobs; here only the newest of a kind matters.
DELETE FROM deltashare_state.directory_jobs j
 WHERE j.kind = %(kind)s AND j.scope = %(scope)s AND j.finished_at < clock_timestamp() - interval '30 days'

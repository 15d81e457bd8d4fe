DELETE FROM deltashare_state.directory_jobs j WHERE finished_at < now() - interval '90 days'
   AND EXISTS (SELECT FROM deltashare_state.directory_jobs n
                WHERE n.kind = j.kind AND n.scope = j.scope AND n.finished_at > j.finished_at)

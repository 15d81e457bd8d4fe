-- What was done is part of the workspace now, and the next plan starts from there.
WITH left_behind AS (UPDATE deltashare_state.applications SET plan_uid = NULL WHERE application_uid = %(application)s)
DELETE FROM deltashare_state.journal WHERE application_uid = %(application)s

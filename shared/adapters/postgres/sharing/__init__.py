"""Share packs in PostgreSQL: schema `deltashare` has versions and logs, `deltashare_state` what carries packs through.

versions.py      the one writer of versions, in batches; reads as of a time
uploads.py       packs: created once from the same bytes, reopened, resumed, rolled back
packs.py         packs: read, listed, their versions, their state
applications.py  the processing of a pack: claimed, renewed, ended, sent again
journal.py       the write-ahead log of an application
leases.py        who may change a share or a recipient of a workspace
plans.py         plans and the decisions about them
contributions.py which pack wants what, and so who could read what on any day
ownership.py     what this installation created or adopted
rotations.py     tokens that people asked to be rotated, each with the journal of its one step
tenants.py       business lines, projects, requests
directory.py     copies of people, groups and workspace objects; job metrics and costs; syncs and notifications
progress.py      how far directory syncs got; notices that wait
records.py       the audit trail
"""

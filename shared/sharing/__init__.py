"""Share packs: from an uploaded file to provisioned Delta Shares.

    parsing    bytes -> SharePack          YAML or Excel, one model, every fault with its place
    rules      SharePack -> findings       what can be said without asking anybody
    preflight  SharePack -> findings       what the directory and the workspace say
    observe    Workspace, SharePack -> one look at all that a plan touches
    plan       pack, holdings, observed -> Plan    ordered actions with reasons, and a hash that approvals sign;
               plan_* are its parts, one for each kind of thing
    approval   Plan, policy -> who must sign
    apply      Plan -> journalled calls    resumable after any of them; apply_* are its parts
    rotate     Plan -> one journalled call, asked for by a person
    exposure   contributions -> who can read what, now or on a day

Pure but for the Protocols in `ports`; the adapters that fulfil them live in shared/adapters.
"""

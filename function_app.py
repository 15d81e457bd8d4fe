"""The function app: registers the blueprints, nothing else."""

import azure.functions as func

from functions import (
    detect_changes,
    handle_poison,
    load_in_window,
    provision_share_pack,
    record_directory_poison,
    record_share_pack_poison,
    remind_share_packs,
    request_directory,
    retry_rejects,
    serve_http,
    sync_directory,
    sync_table,
    watch_health,
    watch_shares,
)

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
TABLE_SYNC = (detect_changes, sync_table, load_in_window, handle_poison, retry_rejects, watch_health)
SHARE_PACKS = (provision_share_pack, remind_share_packs, watch_shares, record_share_pack_poison)
DIRECTORY = (request_directory, sync_directory, record_directory_poison)
for trigger in (serve_http, *TABLE_SYNC, *SHARE_PACKS, *DIRECTORY):
    app.register_functions(trigger.bp)

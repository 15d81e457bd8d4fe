"""The function app: registers the blueprints, nothing else."""

import azure.functions as func

from functions.detect_changes import bp as detect_changes
from functions.handle_poison import bp as handle_poison
from functions.load_in_window import bp as load_in_window
from functions.retry_rejects import bp as retry_rejects
from functions.serve_http import bp as serve_http
from functions.sync_table import bp as sync_table
from functions.watch_health import bp as watch_health

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
app.register_functions(detect_changes)
app.register_functions(sync_table)
app.register_functions(load_in_window)
app.register_functions(handle_poison)
app.register_functions(retry_rejects)
app.register_functions(watch_health)
app.register_functions(serve_http)

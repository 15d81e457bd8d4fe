"""Timer to alerts: what a person should look at, as events in the log."""

import azure.functions as func

from shared.composition import services
from shared.telemetry import invoked_by

bp = func.Blueprint()


@bp.timer_trigger(arg_name="timer", schedule="%WATCH_SCHEDULE%", run_on_startup=False)
def watch_health(timer: func.TimerRequest, context: func.Context) -> None:
    """Log stale tables, failed runs, dead messages and functions that no longer run."""
    services().watch_health(invoked_by(context))

"""Timer to queue: rejects and waiting children that are due."""

import azure.functions as func

from shared.composition import services
from shared.telemetry import invoked_by

bp = func.Blueprint()


@bp.timer_trigger(arg_name="timer", schedule="%RETRY_SCHEDULE%", run_on_startup=False)
def retry_rejects(timer: func.TimerRequest, context: func.Context) -> None:
    """Look for awaited parents, and queue a retry run for each table with stored rows to take up."""
    services().retry_rejects(invoked_by(context))

"""Timer to queue: which tables changed."""

import azure.functions as func

from shared.composition import services
from shared.telemetry import invoked_by

bp = func.Blueprint()


@bp.timer_trigger(arg_name="timer", schedule="%DETECT_SCHEDULE%", run_on_startup=False)
def detect_changes(timer: func.TimerRequest, context: func.Context) -> None:
    """Ask every connector what is due and changed, and queue a run for each such table."""
    services().detect_changes(invoked_by(context))

"""Timer to queue: which directory syncs are due, and which notices wait."""

import azure.functions as func

from shared.composition import services
from shared.telemetry import invoked_by

bp = func.Blueprint()


@bp.timer_trigger(arg_name="timer", schedule="%DIRECTORY_SCHEDULE%", run_on_startup=False)
def request_directory(timer: func.TimerRequest, context: func.Context) -> None:
    """Queue the directory syncs that are due and deliver what notices wait; nothing while share packs are off."""
    services().request_directory(invoked_by(context))

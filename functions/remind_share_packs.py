"""Timer to queue: share packs that are due and have no message of late."""

import azure.functions as func

from shared.composition import services
from shared.telemetry import invoked_by

bp = func.Blueprint()


@bp.timer_trigger(arg_name="timer", schedule="%REMIND_SCHEDULE%")
def remind_share_packs(timer: func.TimerRequest, context: func.Context) -> None:
    """Send their messages again."""
    services().remind_share_packs(invoked_by(context))

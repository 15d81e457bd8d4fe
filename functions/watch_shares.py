"""Timer to alerts: workspaces that no longer hold what share packs gave them."""

import azure.functions as func

from shared.composition import services
from shared.telemetry import invoked_by

bp = func.Blueprint()


@bp.timer_trigger(arg_name="timer", schedule="%DRIFT_SCHEDULE%")
def watch_shares(timer: func.TimerRequest, context: func.Context) -> None:
    """Say what drifted, and have it mended where that is the policy."""
    services().watch_shares(invoked_by(context))

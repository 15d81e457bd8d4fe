"""Timer to queue: background loads, inside their windows."""

import azure.functions as func

from shared.composition import services
from shared.telemetry import invoked_by

bp = func.Blueprint()


# Half a minute after detection's usual moments, which thereby lets a due sweep go first.
@bp.timer_trigger(arg_name="timer", schedule="30 */5 * * * *", run_on_startup=False)
def load_in_window(timer: func.TimerRequest, context: func.Context) -> None:
    """Give each background load whose window is open its run of the night."""
    services().load_in_window(invoked_by(context))

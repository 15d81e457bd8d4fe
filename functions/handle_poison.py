"""Queue to PostgreSQL: a dead message becomes a visible failure."""

import azure.functions as func

from shared.composition import services
from shared.telemetry import invoked_by

bp = func.Blueprint()


@bp.queue_trigger(arg_name="message", queue_name="%SYNC_QUEUE_NAME%-poison", connection="AzureWebJobsStorage")
def handle_poison(message: func.QueueMessage, context: func.Context) -> None:
    """Record the message; queue its slice again while attempts last, else fail its run."""
    services().handle_poison(message.get_body(), message.id or "", invoked_by(context))

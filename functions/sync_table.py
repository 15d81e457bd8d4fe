"""Queue to PostgreSQL: one slice of one table."""

import azure.functions as func

from shared.composition import services
from shared.telemetry import invoked_by

bp = func.Blueprint()


@bp.queue_trigger(arg_name="message", queue_name="%SYNC_QUEUE_NAME%", connection="AzureWebJobsStorage")
def sync_table(message: func.QueueMessage, context: func.Context) -> None:
    """Work on the slice that the message names; an error that leaves here brings the message back."""
    delivery = message.get_body(), message.id or "", message.dequeue_count or 1
    services().sync_table(*delivery, invoked_by(context))

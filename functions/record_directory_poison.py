"""Queue to PostgreSQL: a dead message of directory syncs is kept as evidence."""

import azure.functions as func

from shared.composition import services
from shared.telemetry import invoked_by

bp = func.Blueprint()


@bp.queue_trigger(
    arg_name="message", queue_name="%DIRECTORY_QUEUE_NAME%-poison", connection="AzureWebJobsStorage"
)
def record_directory_poison(message: func.QueueMessage, context: func.Context) -> None:
    """Record the message; the sync it named is sent again by itself."""
    services().record_poison(
        "DIRECTORY_QUEUE_NAME", message.get_body(), message.id or "", invoked_by(context)
    )

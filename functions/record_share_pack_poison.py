"""Queue to PostgreSQL: a dead message of share packs is kept as evidence."""

import azure.functions as func

from shared.composition import services
from shared.telemetry import invoked_by

bp = func.Blueprint()


@bp.queue_trigger(
    arg_name="message", queue_name="%AZURE_QUEUE_NAME%-poison", connection="AzureWebJobsStorage"
)
def record_share_pack_poison(message: func.QueueMessage, context: func.Context) -> None:
    """Record the message; the application it named is sent again by itself."""
    services().record_poison("AZURE_QUEUE_NAME", message.get_body(), message.id or "", invoked_by(context))

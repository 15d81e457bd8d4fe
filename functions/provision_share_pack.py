"""Queue to Databricks: one delivery of a share pack."""

import azure.functions as func

from shared.composition import services
from shared.telemetry import invoked_by

bp = func.Blueprint()


@bp.queue_trigger(arg_name="message", queue_name="%AZURE_QUEUE_NAME%", connection="AzureWebJobsStorage")
def provision_share_pack(message: func.QueueMessage, context: func.Context) -> None:
    """Check, plan and apply the share pack that the message names, as far as the time goes."""
    services().provision_share_pack(
        message.get_body(), message.id or "", message.dequeue_count or 1, invoked_by(context)
    )

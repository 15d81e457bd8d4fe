"""Queue to Databricks: one delivery of a share pack."""

import azure.functions as func

from shared.composition import services

bp = func.Blueprint()


@bp.queue_trigger(arg_name="message", queue_name="%AZURE_QUEUE_NAME%", connection="AzureWebJobsStorage")
def provision_share_pack(message: func.QueueMessage) -> None:
    """Check, plan and apply the share pack that the message names, as far as the time goes."""
    services().provision_share_pack(message.get_body(), message.id or "", message.dequeue_count or 1)

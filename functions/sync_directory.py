"""Queue to PostgreSQL: people, groups, workspace objects, job runs and costs."""

import azure.functions as func

from shared.composition import services
from shared.telemetry import invoked_by

bp = func.Blueprint()


@bp.queue_trigger(arg_name="message", queue_name="%DIRECTORY_QUEUE_NAME%", connection="AzureWebJobsStorage")
def sync_directory(message: func.QueueMessage, context: func.Context) -> None:
    """Work on the sync that the message names; an error that leaves here brings the message back."""
    services().sync_directory(message.get_body(), invoked_by(context))

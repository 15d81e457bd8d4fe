"""Queues and tables the app expects to find, as the Azure templates create them beforehand."""

import contextlib
from collections.abc import Mapping

from azure.core.exceptions import ResourceExistsError
from azure.data.tables import TableServiceClient
from azure.storage.queue import QueueServiceClient

QUEUES = {
    "SYNC_QUEUE_NAME": "sync-jobs",
    "AZURE_QUEUE_NAME": "sharepack-processing",
    "DIRECTORY_QUEUE_NAME": "sync-triggers",
}
TABLES = ("executionlog", "heartbeats")


def prepare(settings: Mapping[str, str]) -> None:
    """Create each queue with its poison queue, and the tables, where absent."""
    connection = settings["AzureWebJobsStorage"]
    with QueueServiceClient.from_connection_string(connection) as queues:
        for setting, default in QUEUES.items():
            for name in _with_poison(settings.get(setting) or default):
                with contextlib.suppress(ResourceExistsError):
                    queues.create_queue(name)
    with TableServiceClient.from_connection_string(connection) as tables:
        for table in TABLES:
            tables.create_table_if_not_exists(table)


def _with_poison(name: str) -> tuple[str, str]:
    return name, f"{name}-poison"

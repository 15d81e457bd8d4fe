"""Azure Storage Queues: base64 bodies, delays, and errors in our own words."""

from typing import Any

from shared.errors import QueueUnavailableError

_MAX_DELAY_S = 7 * 24 * 3600 - 60  # a message lives seven days; a delay must end before
_QUICK: Any = {
    "retry_total": 0,
    "connection_timeout": 3,
    "read_timeout": 5,
}  # a figure is not worth waiting for


class StorageQueue:
    """One queue, created when it is missing. `account` is a connection string, or a URL with `credential`."""

    def __init__(self, account: str, name: str, credential: Any = None) -> None:
        self._account, self._name, self._credential = account, name, credential
        self._client: Any = None

    def send(self, body: str, delay_s: int = 0) -> None:
        """Put one message; it becomes visible after `delay_s`. Raises QueueUnavailableError."""
        from azure.core.exceptions import AzureError, ResourceNotFoundError

        delay = min(max(delay_s, 0), _MAX_DELAY_S)
        try:
            try:
                self._queue().send_message(body, visibility_timeout=delay)
            except ResourceNotFoundError:
                self._queue().create_queue()
                self._queue().send_message(body, visibility_timeout=delay)
        except (AzureError, ValueError) as error:
            raise QueueUnavailableError(
                f"queue {self._name}: the storage account took no message ({type(error).__name__})",
                hint="check AzureWebJobsStorage and that the account is up; the outbox keeps the message until then",
            ) from None

    @property
    def name(self) -> str:
        """The queue's name."""
        return self._name

    def depth(self) -> int | None:
        """About how many messages it holds, invisible ones included; None where storage does not say."""
        from azure.core.exceptions import AzureError, ResourceNotFoundError

        try:
            count: int = self._queue().get_queue_properties(**_QUICK).approximate_message_count or 0
        except ResourceNotFoundError:
            return 0
        except (AzureError, ValueError):
            return None
        return count

    def close(self) -> None:
        """Close the connection, if one was made."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _queue(self) -> Any:
        if self._client is None:
            from azure.storage.queue import QueueClient, TextBase64EncodePolicy

            options: Any = {
                "message_encode_policy": TextBase64EncodePolicy(),
                # The default waits a minute in all, with the outbox's rows locked meanwhile.
                "retry_total": 2,
                "initial_backoff": 1,
                "increment_base": 2,
                "random_jitter_range": 0,
                "connection_timeout": 5,
            }
            if self._credential is None:
                self._client = QueueClient.from_connection_string(self._account, self._name, **options)
            else:
                self._client = QueueClient(self._account, self._name, credential=self._credential, **options)
        return self._client

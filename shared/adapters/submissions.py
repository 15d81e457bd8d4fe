"""Submissions: JSON documents that callers hand in, each a blob of its own that nobody overwrites.

A blob's name is `<form>/yyyy/mm/dd/<uuid7>.json`. A caller's idempotency key is remembered in a blob under
`_keys/`, written first: whoever repeats the request gets the same name, and fills in what a crash left out.
"""

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from shared.errors import ConflictError, StorageUnavailableError

FORM_NAME = r"^[a-z0-9][a-z0-9_-]{0,62}$"
_KEYS = "_keys"


@dataclass(frozen=True, slots=True)
class Submission:
    """What is handed in: canonical JSON bytes, and who did it. `key` is the caller's own, or empty."""

    form: str
    body: bytes
    subject: str
    key: str = ""


@dataclass(frozen=True, slots=True)
class Stored:
    """Where a submission is. `replayed`: the same request had been here before."""

    uid: UUID
    path: str
    replayed: bool


class Submissions:
    """A blob container, created when it is missing. `account` is a connection string, or a URL with `credential`."""

    def __init__(
        self,
        account: str,
        container: str,
        credential: Any = None,
        *,
        new_uid: Callable[[], UUID],
        now: Callable[[], datetime],
    ) -> None:
        self._account, self._container, self._credential = account, container, credential
        self._new_uid, self._now = new_uid, now
        self._client: Any = None

    def store(self, submission: Submission) -> Stored:
        """Keep the submission; raises ConflictError where its key came with another body, StorageUnavailableError."""
        from azure.core.exceptions import AzureError

        uid = self._new_uid()
        stored = Stored(uid, f"{submission.form}/{self._now():%Y/%m/%d}/{uid}.json", replayed=False)
        try:
            if submission.key:
                stored = self._claimed(submission, stored)
            self._write(stored.path, submission.body, {"subject": _ascii(submission.subject)})
        except AzureError as error:
            raise StorageUnavailableError(
                f"container {self._container}: the storage account took nothing ({type(error).__name__})",
                hint="check AzureWebJobsStorage, and that the app's identity is a Storage Blob Data Contributor",
            ) from None
        return stored

    def close(self) -> None:
        """Close the connection, if one was made."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _claimed(self, submission: Submission, fresh: Stored) -> Stored:
        """`fresh`, with the key now taken by it; or what the key was taken by."""
        # The key belongs to its caller: nobody finds out by guessing which keys others used.
        digest = hashlib.sha256(f"{submission.subject}\0{submission.key}".encode()).hexdigest()
        name = f"{_KEYS}/{submission.form}/{digest}.json"
        content = hashlib.sha256(submission.body).hexdigest()
        record = {"uid": str(fresh.uid), "path": fresh.path, "sha256": content}
        if self._write(name, json.dumps(record).encode(), {}):
            return fresh
        before = json.loads(self._blobs().download_blob(name).readall())
        if before["sha256"] != content:
            raise ConflictError(
                "Idempotency-Key: came with another body before", hint="send a new key with a new submission"
            )
        return Stored(UUID(before["uid"]), before["path"], replayed=True)

    def _write(self, name: str, body: bytes, metadata: dict[str, str]) -> bool:
        """Whether the blob is new; one that is there stays as it is."""
        from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
        from azure.storage.blob import ContentSettings

        def upload() -> bool:
            kind = ContentSettings(content_type="application/json")
            try:
                self._blobs().upload_blob(
                    name, body, overwrite=False, metadata=metadata, content_settings=kind
                )
            except ResourceExistsError:
                return False
            return True

        try:
            return upload()
        except ResourceNotFoundError:
            with suppress(ResourceExistsError):  # another process was quicker
                self._blobs().create_container()
            return upload()

    def _blobs(self) -> Any:
        if self._client is None:
            from azure.storage.blob import ContainerClient

            # The default waits a minute in all, with the caller waiting behind it.
            options: Any = {
                "retry_total": 2,
                "initial_backoff": 1,
                "increment_base": 2,
                "random_jitter_range": 0,
                "connection_timeout": 5,
                "read_timeout": 20,
            }
            if self._credential is None:
                self._client = ContainerClient.from_connection_string(
                    self._account, self._container, **options
                )
            else:
                self._client = ContainerClient(
                    self._account, self._container, credential=self._credential, **options
                )
        return self._client


def _ascii(text: str) -> str:
    """Metadata travels in headers."""
    return text.encode("ascii", "backslashreplace").decode()[:200]

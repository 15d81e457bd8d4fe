"""What was asked of the workspace, without secrets."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Mapping
from threading import Lock

import msgspec

REQUESTS_KEPT = 20_000
SECRET_MEMBERS = frozenset({"sharing_code", "bearerToken", "token", "access_token", "client_secret"})
_ACTIVATION = re.compile(r"(/data_sharing_activation(?:_info)?/).*")


class Logged(msgspec.Struct, frozen=True, kw_only=True):
    """One request: who, what, and how it ended.

    `status` is None when the reply never left. `writes` is 1 when a write was carried out, wholly or in part.
    """

    sequence: int
    method: str
    path: str
    route: str
    parameters: Mapping[str, str]
    body: object
    identity: str
    status: int | None
    writes: int


class RequestLog:
    """The last requests in the order of their ends."""

    def __init__(self) -> None:
        self.entries: deque[Logged] = deque(maxlen=REQUESTS_KEPT)
        self._lock = Lock()
        self._sequence = 0

    def add(
        self,
        *,
        method: str,
        path: str,
        route: str,
        parameters: Mapping[str, str],
        body: bytes,
        identity: str,
        status: int | None,
        writes: int,
    ) -> None:
        with self._lock:
            self._sequence += 1
            self.entries.append(
                Logged(
                    sequence=self._sequence,
                    method=method,
                    path=_ACTIVATION.sub(r"\1***", path),
                    route=route,
                    parameters=dict(parameters),
                    body=_without_secrets(_parsed(body)),
                    identity=identity,
                    status=status,
                    writes=writes,
                )
            )

    def since(self, sequence: int) -> list[Logged]:
        return [entry for entry in list(self.entries) if entry.sequence > sequence]

    def writes(self, since: int = 0) -> int:
        return sum(entry.writes for entry in self.since(since))


def _parsed(body: bytes) -> object:
    try:
        return json.loads(body) if body else None
    except ValueError:
        return "not JSON"


def _without_secrets(value: object) -> object:
    if isinstance(value, dict):
        return {k: "***" if k in SECRET_MEMBERS else _without_secrets(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_without_secrets(each) for each in value]
    return value

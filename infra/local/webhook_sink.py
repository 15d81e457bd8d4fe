"""A webhook receiver that keeps what it gets, checks signatures as a receiver should, and answers as it is told."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from dataclasses import dataclass, field
from typing import Any, Self

from infra.local.loopback import Answer, LoopbackServer, Request, json_answer

_SIGNATURE = re.compile(r"t=(\d{1,12}),v1=([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Hook:
    """One delivery that was taken."""

    key: str
    at: int
    body: Any
    path: str = field(default="/")


class WebhookSink:
    """The receiver as an object. `statuses`: what the next requests are answered instead, oldest first."""

    def __init__(self, secret: str, *, port: int = 0) -> None:
        self.secret, self.received = secret, list[Hook]()
        self.statuses: list[int] = []
        self.lose_next = 0
        self.refused = 0
        self._port = port
        self._server: LoopbackServer | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._port}/hooks/tributary"

    def start(self) -> Self:
        """Serve; answers itself."""
        self._server = LoopbackServer(self._answer, self._port)
        self._port = self._server.port
        return self

    def close(self) -> None:
        """Stop; what was received stays."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *failure: object) -> None:
        self.close()

    def _answer(self, request: Request) -> Answer:
        if self.lose_next:
            self.lose_next -= 1
            return Answer(0, b"", lost=True)
        if self.statuses:
            return self._told(self.statuses.pop(0))
        at = self._signed_at(request)
        if request.method != "POST" or at is None:
            self.refused += 1
            return json_answer({"error": "the signature does not fit"}, 401)
        key = request.headers.get("idempotency-key", "")
        self.received.append(Hook(key, at, json.loads(request.body), request.path))
        return json_answer({"ok": True}, 202)

    def _told(self, status: int) -> Answer:
        elsewhere = {"Location": f"{self.url}/elsewhere"} if 300 <= status < 400 else {}
        return Answer(status, b"{}", elsewhere)

    def _signed_at(self, request: Request) -> int | None:
        matched = _SIGNATURE.fullmatch(request.headers.get("x-tributary-signature", ""))
        if matched is None:
            return None
        signed = f"{matched[1]}.".encode() + request.body
        expected = hmac.new(self.secret.encode(), signed, hashlib.sha256).hexdigest()
        return int(matched[1]) if hmac.compare_digest(expected, matched[2]) else None

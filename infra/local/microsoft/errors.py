"""What the services refuse with: a status, a code and a message, in the envelope they share."""

from __future__ import annotations

from collections.abc import Mapping

from infra.local.loopback import Answer, json_answer


class RefusedError(Exception):
    """The request is answered with this status and code; `headers` go with it."""

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.headers = status, code, dict(headers or {})

    def answer(self) -> Answer:
        """As it goes over the wire."""
        body = {
            "error": {
                "code": self.code,
                "message": str(self),
                "innerError": {"request-id": "5a0c1d7e-2f0b-4b52-9d57-2f7a3c0f8f11"},
            }
        }
        plain = json_answer(body, self.status)
        return Answer(plain.status, plain.body, self.headers)

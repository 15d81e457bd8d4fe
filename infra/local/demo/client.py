"""HTTP to the host and the sample ERP: JSON in, JSON out, and an error that names what answered what."""

from dataclasses import dataclass, field
from typing import Any

import httpx

TIMEOUT_S = 120.0


class DemoError(Exception):
    """The demo cannot go on; the message says what happened and where to look."""


class PlanAnswerError(DemoError):
    """The request waits for consent to its plan."""

    def __init__(self, message: str, plan: dict[str, Any]) -> None:
        super().__init__(message)
        self.plan = plan


@dataclass(frozen=True, slots=True)
class Client:
    """One server; every call raises DemoError unless it answers 2xx."""

    name: str
    base_url: str
    token: str = field(default="", repr=False)

    def get(self, path: str, **params: str | int) -> Any:
        """The answer's JSON."""
        return self._call("GET", path, params=params)

    def post(self, path: str, body: Any = None) -> Any:
        """The answer's JSON, None when it has no body."""
        return self._call("POST", path, json={} if body is None else body)

    def upload(self, path: str, name: str, content: bytes, headers: dict[str, str]) -> Any:
        """The answer's JSON to a file sent as a form's `file`."""
        return self._call("POST", path, files={"file": (name, content)}, headers=headers)

    def put(self, path: str, body: Any) -> Any:
        """The answer's JSON."""
        return self._call("PUT", path, json=body)

    def put_planned(self, path: str, body: Any) -> tuple[str, Any]:
        """What a change that touches stored rows would do, in words, and the answer once that is consented to."""
        try:
            return "", self.put(path, body)
        except PlanAnswerError as planned:
            return planned.plan["text"], self.put(f"{path}?plan_hash={planned.plan['plan_hash']}", body)

    def _call(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, **arguments: Any
    ) -> Any:
        headers = (headers or {}) | ({"Authorization": f"Bearer {self.token}"} if self.token else {})
        try:
            answer = httpx.request(
                method, self.base_url + path, headers=headers, timeout=TIMEOUT_S, trust_env=False, **arguments
            )
        except httpx.HTTPError as error:
            what = f"{self.name}: {method} {path}: {type(error).__name__}"
            raise DemoError(f"{what}; see its log in .local/logs") from error
        if answer.status_code == httpx.codes.CONFLICT and "plan" in answer.json():
            raise PlanAnswerError(f"{self.name}: {method} {path} asks for consent", answer.json()["plan"])
        if not answer.is_success:
            raise DemoError(
                f"{self.name}: {method} {path} answered {answer.status_code}: {answer.text[:500]}"
            )
        return answer.json() if answer.content else None

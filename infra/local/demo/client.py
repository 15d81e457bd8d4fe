"""HTTP to the host and the sample ERP: JSON in, JSON out, and an error that names what answered what."""

from dataclasses import dataclass, field
from typing import Any

import httpx

TIMEOUT_S = 120.0


class DemoError(Exception):
    """The demo cannot go on; the message says what happened and where to look."""


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

    def put(self, path: str, body: Any) -> Any:
        """The answer's JSON."""
        return self._call("PUT", path, json=body)

    def _call(self, method: str, path: str, **arguments: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        try:
            answer = httpx.request(
                method, self.base_url + path, headers=headers, timeout=TIMEOUT_S, trust_env=False, **arguments
            )
        except httpx.HTTPError as error:
            what = f"{self.name}: {method} {path}: {type(error).__name__}"
            raise DemoError(f"{what}; see its log in .local/logs") from error
        if not answer.is_success:
            raise DemoError(
                f"{self.name}: {method} {path} answered {answer.status_code}: {answer.text[:500]}"
            )
        return answer.json() if answer.content else None

"""Key Vault's secrets over REST 7.x: versions, the challenge, roles, throttling."""

import re
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from infra.local.azure.directory import Directory
from infra.local.azure.http import Answer, Request

RESOURCE = "https://vault.azure.net"
_NAME = re.compile(r"[0-9a-zA-Z-]{1,127}")
_MAX_VALUE = 25_600


@dataclass
class Version:
    """One version of a secret."""

    id: str
    value: str = field(repr=False)
    enabled: bool
    at: int


@dataclass
class KeyVault:
    """One vault. `readers` may get secrets, `officers` also set them; both hold object ids.

    `throttled` requests are answered 429 before anything else; `retry_after_s` goes with them.
    """

    name: str
    directory: Directory
    readers: set[str] = field(default_factory=set)
    officers: set[str] = field(default_factory=set)
    throttled: int = 0
    retry_after_s: float = 1
    clock: Callable[[], float] = time.time
    served: list[str] = field(default_factory=list)
    _secrets: dict[str, list[Version]] = field(default_factory=dict, repr=False)

    @property
    def url(self) -> str:
        """Its address in Azure; clients are led to this machine by name."""
        return f"https://{self.name}.vault.azure.net"

    def put(self, name: str, value: str, *, enabled: bool = True) -> Version:
        """A new version, as somebody else would set it."""
        version = Version(uuid.uuid4().hex, value, enabled, int(self.clock()))
        self._secrets.setdefault(name.lower(), []).append(version)
        return version

    def handle(self, request: Request) -> Answer:
        """The answer to one request."""
        self.served.append(f"{request.method} {request.path}")
        if not request.query.get("api-version", "").startswith(("7.", "2025-", "2026-")):
            return _error(400, "BadParameter", "The specified version is not recognized.")
        claims = self.directory.check(request.bearer, RESOURCE) if request.bearer else None
        if claims is None:
            return self._challenge(request)
        if self.throttled > 0:
            self.throttled -= 1
            return _error(
                429,
                "Throttled",
                "Request was not processed because too many requests were received.",
                {"Retry-After": f"{self.retry_after_s:g}"},
            )
        return self._serve(request, str(claims["oid"]))

    def _challenge(self, request: Request) -> Answer:
        authority = f"https://login.microsoftonline.com/{self.directory.tenant_id}"
        header = {"WWW-Authenticate": f'Bearer authorization="{authority}", resource="{RESOURCE}"'}
        what = "invalid" if request.bearer else "missing a Bearer or PoP token"
        return _error(401, "Unauthorized", f"AKV10000: Request is {what}.", header)

    def _serve(self, request: Request, who: str) -> Answer:
        match [request.method, *request.path.strip("/").split("/")]:
            case ["GET", "secrets", name] | ["GET", "secrets", name, ""]:
                return self._get(name, None, who)
            case ["GET", "secrets", name, version]:
                return self._get(name, version, who)
            case ["GET", "secrets", name, "versions"]:
                return self._versions(name, who)
            case ["PUT", "secrets", name]:
                return self._set(name, request.json(), who)
        return _error(404, "NotFound", "There is nothing at this address.")

    def _get(self, name: str, version: str | None, who: str) -> Answer:
        if version == "versions":
            return self._versions(name, who)
        if who not in self.readers | self.officers:
            return _forbidden("getSecret")
        found = [v for v in self._secrets.get(name.lower(), []) if version in (None, v.id)]
        if not found:
            return _error(
                404, "SecretNotFound", f"A secret with (name/id) {name} was not found in this key vault."
            )
        if not found[-1].enabled:
            return _error(403, "Forbidden", "Operation get is not allowed on a disabled secret.")
        return Answer(200, self._bundle(name, found[-1]))

    def _versions(self, name: str, who: str) -> Answer:
        if who not in self.readers | self.officers:
            return _forbidden("readMetadata")
        bundles = [self._bundle(name, each) for each in self._secrets.get(name.lower(), [])]
        items = [{key: value for key, value in each.items() if key != "value"} for each in bundles]
        return Answer(200, {"value": items, "nextLink": None})

    def _set(self, name: str, body: Any, who: str) -> Answer:
        if who not in self.officers:
            return _forbidden("setSecret")
        value = body.get("value") if isinstance(body, dict) else None
        if not _NAME.fullmatch(name) or not isinstance(value, str) or len(value) > _MAX_VALUE:
            return _error(400, "BadParameter", "The request's name or value is invalid.")
        return Answer(200, self._bundle(name, self.put(name, value)))

    def _bundle(self, name: str, version: Version) -> dict[str, Any]:
        attributes = {
            "enabled": version.enabled,
            "created": version.at,
            "updated": version.at,
            "recoveryLevel": "Recoverable+Purgeable",
        }
        id_ = f"{self.url}/secrets/{name}/{version.id}"
        return {"value": version.value, "id": id_, "attributes": attributes}


def _forbidden(action: str) -> Answer:
    return _error(
        403,
        "Forbidden",
        f"Caller is not authorized to perform action Microsoft.KeyVault/vaults/secrets/{action}/action.",
    )


def _error(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> Answer:
    return Answer(status, {"error": {"code": code, "message": message}}, headers or {})

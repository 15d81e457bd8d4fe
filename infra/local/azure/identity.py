"""The endpoint that gives an app its tokens: App Service's (IDENTITY_ENDPOINT, IDENTITY_HEADER) and IMDS."""

from dataclasses import dataclass, field

from infra.local.azure.directory import Directory
from infra.local.azure.http import Answer, Request

APP_SERVICE_PATH = "/msi/token"
MACHINE_PATH = "/metadata/identity/oauth2/token"


@dataclass
class IdentityEndpoint:
    """Tokens for the identities assigned to one app; `None` among `client_ids` is the system-assigned one.

    `failures` are statuses to answer with next, first come first served. `given` counts tokens that were made:
    like the real one the endpoint keeps a token and gives it again, unless `cached` is false.
    """

    directory: Directory
    header: str = field(repr=False)
    client_ids: frozenset[str | None] = frozenset({None})
    life_s: int = 86_400
    cached: bool = True
    failures: list[int] = field(default_factory=list)
    given: int = 0
    _kept: dict[tuple[str, str | None], tuple[str, int]] = field(default_factory=dict, repr=False)

    def handle(self, request: Request) -> Answer:
        """A token, or the endpoint's own refusal."""
        if request.path == APP_SERVICE_PATH:
            refusal = self._app_service(request)
        elif request.path == MACHINE_PATH:
            refusal = self._machine(request)
        else:
            return Answer(404)
        if refusal is None and self.failures:
            status = self.failures.pop(0)
            refusal = Answer(status, {"error": "scripted"}, {"Retry-After": "1"} if status == 429 else {})
        return refusal or self._token(request.query["resource"], request.query.get("client_id"))

    def _app_service(self, request: Request) -> Answer | None:
        if request.headers.get("x-identity-header") != self.header:
            return Answer(401, {"statusCode": 401, "message": "Unauthorized"})
        if request.query.get("api-version") != "2019-08-01":
            return Answer(400, {"statusCode": 400, "message": "Unsupported api-version"})
        return self._common(request)

    def _machine(self, request: Request) -> Answer | None:
        if request.headers.get("metadata") != "true" or "x-forwarded-for" in request.headers:
            return Answer(
                400,
                {"error": "invalid_request", "error_description": "Required metadata header not specified"},
            )
        if request.query.get("api-version") != "2018-02-01":
            return Answer(400, {"error": "invalid_request", "error_description": "Invalid api-version"})
        return self._common(request)

    def _common(self, request: Request) -> Answer | None:
        if not request.query.get("resource"):
            return Answer(400, {"error": "invalid_request", "error_description": "resource is required"})
        if request.query.get("client_id") not in self.client_ids:
            return Answer(
                400,
                {"error": "invalid_request", "error_description": "Identity not found", "statusCode": 400},
            )
        return None

    def _token(self, resource: str, client_id: str | None) -> Answer:
        now, key = self.directory.clock(), (resource, client_id)
        kept = self._kept.get(key)
        if kept is None or not self.cached or kept[1] <= now:
            self.given += 1
            subject = client_id or "system"
            own = {"iss": self.directory.old_issuer, "ver": "1.0", "jti": str(self.given)}
            token = self.directory.token(resource, life_s=self.life_s, sub=subject, oid=subject, **own)
            kept = self._kept[key] = token, int(now + self.life_s)
        body = {
            "access_token": kept[0],
            "expires_on": str(kept[1]),
            "expires_in": str(int(kept[1] - now)),
            "resource": resource,
            "token_type": "Bearer",
        }
        return Answer(200, body)

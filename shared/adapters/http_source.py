"""A connector over HTTP, as a Source: tables, probes and pages of the connector protocol.

In: where the connector is and how to sign in, as values. Out: what shared.sync.fetch.Source promises, and of
errors only the Source... ones and ConfigurationError. Secrets appear in no message. Waiting for the connector
(429, 5xx, connections lost) happens here while the budget lasts, with full jitter; beyond it the error asks
for a later try.
"""

import json
import random
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal, Self, cast, get_args
from urllib.parse import quote, urlencode

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from shared.adapters.http_client import Answer, HttpClient, HttpLimits, Resolver, parse_origin, resolve
from shared.errors import (
    ConfigurationError,
    SourceProtocolError,
    SourceRefusedError,
    SourceThrottledError,
    SourceUnavailableError,
)
from shared.sync.description import ApiColumn, ApiDescription, ApiParent, Pagination
from shared.sync.fetch import PageRequest, Probe
from shared.sync.model import VersionKind, VersionSpec

_TOKEN_MARGIN_S = 30.0
_CREDENTIALS_HINT = "Check the connector's auth.type and the secret it names."


def _no_forgetting() -> None:
    return None


@dataclass(frozen=True, slots=True)
class ConnectorAccess:
    """Where a connector is and how to sign in.

    `secret` gives the secret's present value (a token, or JSON with client_id and client_secret);
    `forget_secret` drops a cached one, and is called once when the connector refuses it. `allowed_hosts`:
    CONNECTOR_HOSTS.
    """

    name: str
    base_url: str
    auth_type: Literal["token", "client_credentials", "none"]
    secret: Callable[[], str] = str
    forget_secret: Callable[[], None] = _no_forgetting
    allowed_hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pace:
    """Time, chance and patience: `budget_s` is what is left of the slice, in seconds."""

    clock: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random
    budget_s: Callable[[], float] = lambda: float("inf")


class _Loose(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Column(_Loose):
    name: str = Field(min_length=1)
    output_alias: str | None = None
    data_type: str = "VARCHAR2"
    is_nullable: bool = True
    is_business_key: bool = False
    format: dict[str, object] | None = None


class _Version(_Loose):
    column: str | None = None
    kind: str = ""


class _Parent(_Loose):
    columns: tuple[str, ...]
    slug: str
    parent_columns: tuple[str, ...]


class _Api(_Loose):
    slug: str = Field(min_length=1)
    name: str = ""
    description: str | None = None
    business_key_columns: tuple[str, ...] = ()
    delta_strategy: str = "hash"
    rowversion: _Version | None = None
    columns: tuple[_Column, ...]
    parents: tuple[_Parent, ...] | None = None
    pagination: str | None = None
    page_size_max: int | None = Field(default=None, ge=1)
    dialect: str = "oracle"
    ordered_by_rowversion: bool = False


class _Changes(_Loose):
    changed: bool
    max_rowversion: str | int | None = None
    count: int | None = Field(default=None, ge=0)


class _Ranges(_Loose):
    cursors: tuple[str, ...] = Field(max_length=1000)


class _Token(_Loose):
    access_token: str = Field(min_length=1)
    expires_in: float = 300.0


class _Credentials(_Loose):
    client_id: str
    client_secret: str


_apis = TypeAdapter(list[_Api])


class HttpSource:
    """A Source over the connector protocol; safe for several threads."""

    def __init__(
        self,
        access: ConnectorAccess,
        limits: HttpLimits | None = None,
        pace: Pace | None = None,
        resolver: Resolver = resolve,
    ) -> None:
        self._access, self._limits, self._pace = access, limits or HttpLimits(), pace or Pace()
        origin = parse_origin(access.base_url, access.allowed_hosts)
        self._client = HttpClient(origin, self._limits, access.allowed_hosts, self._pace.clock, resolver)
        # Who lets a source go without closing it leaves no connection open.
        weakref.finalize(self, self._client.close).atexit = False
        self._lock = threading.Lock()
        self._token: tuple[str, float] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections kept open."""
        self._client.close()

    def check(self) -> None:
        """Returns when the connector answers, takes the credentials and lists its tables."""
        self.list_apis()

    def list_apis(self) -> Sequence[ApiDescription]:
        """The tables the connector offers; SourceProtocolError names what is wrong with its list."""
        answer = self._get("/api/v1/apis", "its list of tables")
        try:
            return [_description(api) for api in _apis.validate_json(answer.body)]
        except ValidationError as error:
            raise self._unreadable("list of tables", error) from None

    def probe(self, slug: str, rowversion_gt: str | None, parameters: Mapping[str, str]) -> Probe | None:
        """What changed in a table; None when the connector has no cheap answer (404)."""
        query = {**parameters, **({"rowversion_gt": rowversion_gt} if rowversion_gt is not None else {})}
        answer = self._get(_path("changes", slug, query), f"the changes of '{slug}'", absent_ok=True)
        if answer.status == 404:
            return None
        try:
            said = _Changes.model_validate_json(answer.body)
        except ValidationError as error:
            raise self._unreadable(f"answer about changes of '{slug}'", error) from None
        newest = str(said.max_rowversion) if said.max_rowversion is not None else None
        return Probe(said.changed, newest, said.count)

    def ranges(self, slug: str, parts: int, parameters: Mapping[str, str]) -> Sequence[str]:
        """Rising cursors that cut the table into about `parts` equal parts; none where the connector answers 404."""
        query = {**parameters, "parts": str(parts)}
        answer = self._get(_path("ranges", slug, query), f"the ranges of '{slug}'", absent_ok=True)
        if answer.status == 404:
            return ()
        try:
            return _Ranges.model_validate_json(answer.body).cursors
        except ValidationError as error:
            raise self._unreadable(f"answer about ranges of '{slug}'", error) from None

    def fetch_page(self, request: PageRequest) -> bytes:
        """The body of one page, decompressed."""
        query = {
            **request.parameters,
            "page_size": str(max(1, min(request.page_size, self._limits.page_rows))),
            **{name: value for name, value in _position(request).items() if value is not None},
        }
        return self._get(_path("data", request.slug, query), f"the data of '{request.slug}'").body

    def _get(self, target: str, what: str, *, absent_ok: bool = False) -> Answer:
        answer = self._signed(target, what)
        if answer.status == 404 and absent_ok:
            return answer
        if answer.status != 200:
            raise self._refused(answer.status, what)
        kind = answer.headers.get("content-type", "application/json").split(";")[0].strip().lower()
        if kind != "application/json" and not kind.endswith("+json"):
            raise SourceProtocolError(
                f"Connector '{self._access.name}' answered {what} as '{kind[:40]}', not as JSON.",
                hint="Check the base_url: a login or error page may stand in front of the connector.",
            )
        return answer

    def _signed(self, target: str, what: str) -> Answer:
        answer = self._patient("GET", target, self._authorization(), what)
        if answer.status == 401 and self._access.auth_type != "none":
            self._forget()
            answer = self._patient("GET", target, self._authorization(), what)
        return answer

    def _patient(
        self, method: str, target: str, headers: Mapping[str, str], what: str, content: bytes = b""
    ) -> Answer:
        """The first answer that is no plea for patience, waiting in place while attempts and budget last."""
        left = min(self._limits.wait_budget_s, self._pace.budget_s())
        for attempt in range(1, self._limits.attempts + 1):
            outcome = self._try(method, target, headers, content)
            if isinstance(outcome, Answer) and outcome.status != 429 and outcome.status < 500:
                return outcome
            wish = self._wish(outcome)
            wait = self._pace.jitter() * self._backoff(attempt) + (wish or 0.0)
            if attempt == self._limits.attempts or wait > left:
                break
            left -= wait
            self._pace.sleep(wait)
        raise self._given_up(outcome, wish, what)

    def _try(
        self, method: str, target: str, headers: Mapping[str, str], content: bytes
    ) -> Answer | SourceUnavailableError:
        try:
            return self._client.send(method, target, headers, content)
        except SourceUnavailableError as error:
            return error

    def _backoff(self, attempt: int) -> float:
        return min(self._limits.backoff_cap_s, self._limits.backoff_s * 2.0 ** (attempt - 1))

    def _wish(self, outcome: Answer | SourceUnavailableError) -> float | None:
        if not isinstance(outcome, Answer) or "retry-after" not in outcome.headers:
            return None
        seconds = _retry_after_s(outcome.headers["retry-after"], self._pace.now())
        return None if seconds is None else min(max(seconds, 0.0), self._limits.retry_after_cap_s)

    def _given_up(
        self, outcome: Answer | SourceUnavailableError, wish: float | None, what: str
    ) -> SourceUnavailableError | SourceThrottledError:
        if isinstance(outcome, SourceUnavailableError):
            return outcome
        name = self._access.name
        if outcome.status == 429:
            return SourceThrottledError(
                f"Connector '{name}' asks for patience (429) over {what}.",
                hint="The run goes on later; lower max_concurrent_syncs if this lasts.",
                retry_after_s=wish,
            )
        return SourceUnavailableError(
            f"Connector '{name}' failed with status {outcome.status} over {what}.",
            hint="Look into the connector's own log; the run tries again later.",
            retry_after_s=wish,
        )

    def _refused(self, status: int, what: str) -> SourceRefusedError:
        reasons = {
            401: ("does not take the credentials", _CREDENTIALS_HINT),
            403: ("does not allow these credentials", "Ask its owner to grant them this table."),
            404: ("does not know", "Check the slug and the base_url, then discover again."),
        }
        redirect = (
            "answers with a redirect, which is never followed, for",
            "Put the final URL into base_url.",
        )
        verb, hint = (
            redirect if 300 <= status < 400 else reasons.get(status, ("refuses", "Look into its log."))
        )
        return SourceRefusedError(
            f"Connector '{self._access.name}' {verb} {what} (status {status}).", hint=hint
        )

    def _unreadable(self, what: str, error: ValidationError) -> SourceProtocolError:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        return SourceProtocolError(
            f"Connector '{self._access.name}' sent an unreadable {what}: {place}: {first['msg']}.",
            hint="Compare the answer with docs/protocol.md.",
        )

    def _authorization(self) -> Mapping[str, str]:
        if self._access.auth_type == "none":
            return {}
        with self._lock:
            token = self._fixed() if self._access.auth_type == "token" else self._granted()
        return {"Authorization": f"Bearer {token}"}

    def _forget(self) -> None:
        with self._lock:
            self._token = None
        self._access.forget_secret()

    def _fixed(self) -> str:
        return self._printable(self._access.secret().strip())

    def _granted(self) -> str:
        if self._token is None or self._token[1] <= self._pace.clock():
            grant = self._sign_in()
            lasts = max(grant.expires_in - _TOKEN_MARGIN_S, 0.0)
            self._token = (self._printable(grant.access_token), self._pace.clock() + lasts)
        return self._token[0]

    def _sign_in(self) -> _Token:
        content = self._credentials()
        headers = {"Content-Type": "application/json"}
        answer = self._patient("POST", "/api/v1/auth/token", headers, "a token", content)
        if answer.status not in (200, 201):
            raise self._refused(401 if answer.status == 400 else answer.status, "the sign-in")
        try:
            return _Token.model_validate_json(answer.body)
        except ValidationError as error:
            raise self._unreadable("token", error) from None

    def _credentials(self) -> bytes:
        try:
            return _Credentials.model_validate_json(self._access.secret()).model_dump_json().encode()
        except ValidationError:
            raise ConfigurationError(
                f"The secret of connector '{self._access.name}' is no JSON with client_id and client_secret.",
                hint="Store such a secret, or set auth.type to token.",
            ) from None

    def _printable(self, token: str) -> str:
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise ConfigurationError(
                f"The token of connector '{self._access.name}' is empty or holds characters no token has.",
                hint=_CREDENTIALS_HINT,
            )
        return token


def _position(request: PageRequest) -> Mapping[str, str | None]:
    return {
        "page": str(request.page) if request.page is not None else None,
        "cursor": request.cursor,
        "until": request.until,
        "rowversion_gt": request.rowversion_gt,
        "fields": request.fields,
    }


def _path(area: str, slug: str, query: Mapping[str, str]) -> str:
    encoded = urlencode(query)
    return f"/api/v1/{area}/{quote(slug, safe='')}" + (f"?{encoded}" if encoded else "")


def _retry_after_s(value: str, now: datetime) -> float | None:
    """Seconds a Retry-After header asks for, from its number or date; None when it is neither."""
    try:
        return float(json.loads(value)) if value.strip().isdigit() else _until(value, now)
    except (ValueError, TypeError, OverflowError):
        return None


def _until(value: str, now: datetime) -> float:
    moment = parsedate_to_datetime(value)
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now).total_seconds()


def _version(said: _Version | None) -> VersionSpec | None:
    # A kind we don't know is as good as none: discovery falls back and warns about this table alone.
    kinds = get_args(VersionKind)
    return VersionSpec(cast(VersionKind, said.kind), said.column) if said and said.kind in kinds else None


def _description(api: _Api) -> ApiDescription:
    return ApiDescription(
        slug=api.slug,
        name=api.name or api.slug,
        description=api.description or None,
        business_key_columns=api.business_key_columns
        or tuple(c.name for c in api.columns if c.is_business_key),
        delta_strategy=api.delta_strategy,
        columns=tuple(_column(column) for column in api.columns),
        version=_version(api.rowversion),
        parents=tuple(ApiParent(p.columns, p.slug, p.parent_columns) for p in api.parents or ()),
        pagination=cast(Pagination, api.pagination) if api.pagination in get_args(Pagination) else None,
        page_size_max=api.page_size_max,
        dialect=api.dialect,
        ordered_by_rowversion=api.ordered_by_rowversion,
    )


def _column(column: _Column) -> ApiColumn:
    return ApiColumn(
        column.name,
        column.data_type,
        column.output_alias,
        column.is_nullable,
        column.is_business_key,
        column.format or None,
    )

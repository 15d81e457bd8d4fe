"""Which request reaches what: the protocol under /api/v1 with tokens, /control without."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from infra.local.loopback import Answer, Request, json_answer
from infra.local.sample_erp.control import control
from infra.local.sample_erp.errors import ErpError, ScriptedFailureError, UnknownSlugError

if TYPE_CHECKING:
    from infra.local.sample_erp.erp import SampleErp


class TokenRequest(msgspec.Struct):
    """Body of a token request."""

    client_id: str
    client_secret: str


def route(erp: SampleErp, request: Request) -> Answer:
    """The answer to one request; whatever goes wrong is JSON with `error` and `message`."""
    try:
        if request.path.startswith("/control/"):
            return control(erp, request)
        return _serve(erp, request)
    except ErpError as error:
        return json_answer({"error": type(error).__name__, "message": str(error)}, error.status)
    except msgspec.DecodeError as error:
        return json_answer({"error": "BadBody", "message": f"the body doesn't fit: {error}"}, 422)


def _serve(erp: SampleErp, request: Request) -> Answer:
    erp.requests.append(request)
    erp.on_request(request)
    status = erp.due_failure(request.path)
    if status is not None:
        raise ScriptedFailureError(status)
    if (request.method, request.path) == ("POST", "/api/v1/auth/token"):
        return _token(erp, request)
    erp.tokens.check(request.bearer)
    return _read(erp, request)


def _token(erp: SampleErp, request: Request) -> Answer:
    wanted = msgspec.json.decode(request.body, type=TokenRequest)
    token = erp.tokens.issue(wanted.client_id, wanted.client_secret)
    return json_answer({"access_token": token, "expires_in": erp.tokens.expires_in, "token_type": "bearer"})


def _read(erp: SampleErp, request: Request) -> Answer:
    match [request.method, *request.path.strip("/").split("/")]:
        case ["GET", "api", "v1", "apis"]:
            return json_answer(erp.connector.apis())
        case ["GET", "api", "v1", "data", slug]:
            _lag(erp, slug)
            return Answer(200, erp.connector.data(slug, request.parameters))
        case ["GET", "api", "v1", "changes", slug]:
            _lag(erp, slug)
            return json_answer(erp.connector.changes(slug, request.parameters))
        case ["GET", "api", "v1", "ranges", slug]:
            return json_answer(erp.connector.ranges(slug, request.parameters))
    raise UnknownSlugError(f"nothing at {request.method} {request.path}; see /api/v1/apis")


def _lag(erp: SampleErp, slug: str) -> None:
    latency_ms = erp.connector.behaviour(slug).latency_ms
    if latency_ms:
        time.sleep(latency_ms / 1000)

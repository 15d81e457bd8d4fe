"""Errors as `application/problem+json`: what, why, the next step; each field that is wrong by name.

Never the values sent: they may be secrets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from shared.errors import (
    AppError,
    ConfigurationError,
    FactoryRefusedError,
    InvalidError,
    RequestError,
    SourceProtocolError,
    SourceRefusedError,
    TargetRefusedError,
    TransientError,
)
from shared.sync.consent import ChangePlan, PlanNeededError
from shared.telemetry import LOGGER

_RETRY_AFTER_S = 30.0
_STATUS: tuple[tuple[type[AppError], int], ...] = (
    (TransientError, 503),
    (SourceRefusedError, 502),
    (SourceProtocolError, 502),
    (FactoryRefusedError, 502),
    (TargetRefusedError, 409),
    (ConfigurationError, 422),
)
MEDIA_TYPE = "application/problem+json"


class TooManyRequestsError(RequestError):
    """The caller asked too often; `retry_after_s` from now he may again."""

    code = "too_many_requests"
    status = 429

    def __init__(self, retry_after_s: float) -> None:
        super().__init__("too many requests", hint="wait as long as Retry-After says")
        self.retry_after_s = retry_after_s


class TooLargeError(RequestError):
    """The body is over the limit."""

    code = "too_large"
    status = 413


class UnsupportedMediaError(RequestError):
    """The body is of a kind that this route does not take."""

    code = "unsupported_media"
    status = 415


def install(app: FastAPI) -> None:
    """Give every error of `app` one shape, the framework's own too."""

    @app.exception_handler(AppError)
    def _app_error(_request: Request, error: AppError) -> Response:
        return of_error(error)

    @app.exception_handler(RequestValidationError)
    def _validation(_request: Request, error: RequestValidationError) -> Response:
        return of_validation(error)

    @app.exception_handler(HTTPException)
    def _http(_request: Request, error: HTTPException) -> Response:
        return problem(error.status_code, "", headers=error.headers)


def of_error(error: AppError) -> Response:
    """The answer to one of our own errors."""
    status = error.status if isinstance(error, RequestError) else _status(error)
    if status >= 500:
        LOGGER.warning("request_failed", extra={"code": error.code, "problem": error.message})
    fields = error.problems if isinstance(error, InvalidError) else ()
    return problem(
        status,
        error.message,
        code=error.code,
        hint=error.hint,
        errors=fields,
        headers=_headers(error),
        plan=error.plan if isinstance(error, PlanNeededError) else None,
    )


def of_validation(error: RequestValidationError) -> Response:
    """The answer to a body, query or path that does not fit its model."""
    found = [(e["loc"], str(e["msg"])) for e in error.errors()]
    if found and all(location[0] == "path" for location, _ in found):
        # A malformed uid names nothing, just as an unknown one.
        return problem(404, "nothing is there")
    return problem(
        422, "the request does not fit", code="invalid", errors=[(_place(loc), m) for loc, m in found]
    )


def of_crash(error: Exception) -> Response:
    """The answer to a bug: its text stays in the log."""
    LOGGER.error("request_crashed", exc_info=error)
    return problem(500, "an unexpected error; the log has it")


def problem(
    status: int,
    detail: str,
    *,
    code: str = "",
    hint: str = "",
    errors: Sequence[tuple[str, str]] = (),
    headers: Mapping[str, str] | None = None,
    plan: ChangePlan | None = None,
    places: Sequence[Mapping[str, object]] = (),
) -> Response:
    """One problem document; `errors` are (field, detail), `plan` is what the request would do.

    `places`: what is wrong in an uploaded file, each with its line, or its sheet and cell.
    """
    phrase = HTTPStatus(status).phrase
    body = {
        "type": f"urn:tributary:{code}" if code else "about:blank",
        "title": phrase,
        "status": status,
        "detail": detail or phrase,
        "errors": [*({"field": field, "detail": text} for field, text in errors), *places],
    }
    if hint:
        body["hint"] = hint
    if plan is not None:
        acts = [asdict(act) for act in plan.acts]
        body["plan"] = {"plan_hash": plan.plan_hash, "actions": acts, "text": plan.text}
    return JSONResponse(body, status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def _status(error: AppError) -> int:
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def _headers(error: AppError) -> dict[str, str]:
    if isinstance(error, RequestError) and error.status == 401:
        return {"WWW-Authenticate": "Bearer"}
    if isinstance(error, (TransientError, TooManyRequestsError)):
        return {"Retry-After": str(max(1, round(error.retry_after_s or _RETRY_AFTER_S)))}
    return {}


def _place(location: Sequence[str | int]) -> str:
    """`field_mappings[0].target` for ("body", "field_mappings", 0, "target")."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in location[1:]]
    return "".join(parts).lstrip(".") or str(location[0])

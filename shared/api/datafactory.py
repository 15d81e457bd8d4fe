"""Routes of Data Factory: starting pipelines, following their runs, and handing in what they read."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import parse_qs
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Path, Request
from pydantic import BaseModel, Field, StringConstraints

from shared.adapters.data_factory import PIPELINE_NAME
from shared.adapters.submissions import FORM_NAME, Submission
from shared.adapters.tokens import Caller
from shared.api.access import Operator, Reader, Services
from shared.api.bodies import Body
from shared.api.problems import TooLargeError, UnsupportedMediaError
from shared.errors import ForbiddenError, InvalidError

router = APIRouter(prefix="/api/v1/datafactory", tags=["data factory"])
submissions = APIRouter(prefix="/api/v1/submissions", tags=["data factory"])
MAX_SUBMISSION_BYTES = 262_144
_MAX_FIELDS = 1000
PipelineName = Annotated[str, StringConstraints(pattern=PIPELINE_NAME), Path()]
FormName = Annotated[str, StringConstraints(pattern=FORM_NAME), Path()]
IdempotencyKey = Annotated[
    str, StringConstraints(max_length=200, pattern=r"^[\x21-\x7e]*$"), Header(alias="Idempotency-Key")
]


class RunBody(Body):
    """The pipeline's own parameters."""

    parameters: Annotated[dict[str, Any], Field(max_length=50)] = Field(default_factory=dict)


class PipelineStartedOut(BaseModel):
    """A pipeline's run that was asked for."""

    run_id: UUID
    pipeline: str


class ActivityFailureOut(BaseModel):
    """An activity that failed, in Data Factory's words."""

    activity: str
    code: str
    message: str


class PipelineRunOut(BaseModel):
    """A run: `status` is Data Factory's Queued, InProgress, Succeeded, Failed, Canceling or Cancelled."""

    run_id: UUID
    pipeline: str
    status: str
    message: str
    started_at: datetime | None
    ended_at: datetime | None
    duration_ms: int | None
    failures: list[ActivityFailureOut]


class SubmittedOut(BaseModel):
    """Where the submission is kept. `replayed`: the same key and body had been here before."""

    uid: UUID
    path: str
    replayed: bool


@router.post("/pipelines/{name}/runs", status_code=202)
def start_pipeline(
    name: PipelineName, caller: Operator, services: Services, body: RunBody | None = None
) -> PipelineStartedOut:
    """Start a pipeline. A second request starts a second run; needs tenant:*, since pipelines serve all tenants."""
    _require_all_tenants(caller)
    run_id = services.pipelines().run(name, body.parameters if body else {})
    return PipelineStartedOut(run_id=run_id, pipeline=name)


@router.get("/runs/{id}")
def pipeline_run(id: UUID, caller: Reader, services: Services) -> PipelineRunOut:
    """How a pipeline's run stands, and of a failed one which activities failed; needs tenant:*."""
    _require_all_tenants(caller)
    return PipelineRunOut(**asdict(services.pipelines().status(id)))


async def _body(request: Request) -> bytes:
    return await request.body()


@submissions.post("/{form}", status_code=202)
def submit(
    form: FormName,
    caller: Operator,
    services: Services,
    request: Request,
    body: Annotated[bytes, Depends(_body)],
    idempotency_key: IdempotencyKey = "",
) -> SubmittedOut:
    """Keep a JSON object, or a form's fields as one, as a blob of its own; at most 256 KiB.

    With an `Idempotency-Key` the request may be repeated: the same body answers the same again, another is refused.
    """
    if len(body) > MAX_SUBMISSION_BYTES:
        raise TooLargeError(
            f"submission: larger than {MAX_SUBMISSION_BYTES} bytes", hint="send it in parts, or as a file"
        )
    document = _document(body, request.headers.get("content-type", ""))
    stored = services.submissions().store(Submission(form, document, caller.subject, idempotency_key))
    return SubmittedOut(uid=stored.uid, path=stored.path, replayed=stored.replayed)


def _document(body: bytes, content_type: str) -> bytes:
    """JSON as it came, numbers untouched; a form's fields as an object of texts, or of lists where one repeats."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/json":
        _check_json(body)
        return body
    if kind == "application/x-www-form-urlencoded":
        return _fields(body)
    raise UnsupportedMediaError(
        "submission: neither JSON nor a form",
        hint="send application/json or application/x-www-form-urlencoded",
    )


def _check_json(body: bytes) -> None:
    try:
        found = json.loads(body.decode(), object_pairs_hook=_unique, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        # The decoder's own texts quote what was sent.
        what = str(error) if isinstance(error, _OddJsonError) else "is not JSON"
        raise InvalidError("the submission does not fit", [("body", what)]) from None
    if not isinstance(found, dict):
        raise InvalidError("the submission does not fit", [("body", "is not an object")])


class _OddJsonError(ValueError):
    """JSON that readers understand differently."""


def _unique(pairs: Sequence[tuple[str, object]]) -> Mapping[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _OddJsonError("a member stands there twice")
    return found


def _no_number(_: str) -> object:
    raise _OddJsonError("NaN and Infinity are not JSON")


def _fields(body: bytes) -> bytes:
    try:
        found = parse_qs(
            body.decode(),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=_MAX_FIELDS,
        )
    except ValueError:
        raise InvalidError("the submission does not fit", [("body", "is not a form")]) from None
    plain = {name: values[0] if len(values) == 1 else values for name, values in found.items()}
    return json.dumps(plain, ensure_ascii=False).encode()


def _require_all_tenants(caller: Caller) -> None:
    if caller.tenants is not None:
        raise ForbiddenError(
            "pipelines: only who sees all tenants may start or follow them", hint="ask for the role tenant:*"
        )

"""Uploaded files: read no further than the limit, taken in, answered one by one."""

from collections.abc import Sequence

from fastapi import UploadFile

from shared.api.workflow.answers import PlanOut, UploadOut, UploadsOut, told
from shared.errors import RequestError
from shared.sharing.errors import UploadError, UploadTooLargeError
from shared.sharing.model import Finding
from shared.sharing.parsing.limits import MIB, UPLOAD_BYTES
from shared.sharing.views import Actor
from shared.sharing.workflow import Taken, Workflow


def answer_one(
    workflow: Workflow, who: Actor, workspace_url: str, file: UploadFile, *, dry_run: bool
) -> UploadOut:
    """The file's result; raises the RequestError that says why it was refused."""
    until = workflow.look_until() if dry_run else None
    return _taken(workflow, who, workspace_url, file, until)


def answer_several(
    workflow: Workflow, who: Actor, workspace_url: str, files: Sequence[UploadFile], *, dry_run: bool
) -> UploadsOut:
    """Each file's result; one that is refused takes none of the others with it."""
    until = workflow.look_until() if dry_run else None  # of the request, not of each file
    return UploadsOut(results=[_result(workflow, who, workspace_url, file, until) for file in files])


def _taken(
    workflow: Workflow, who: Actor, workspace_url: str, file: UploadFile, until: float | None
) -> UploadOut:
    return _answer(workflow.upload(who, workspace_url, _read(file), file.filename, dry_run_until=until))


def _result(
    workflow: Workflow, who: Actor, workspace_url: str, file: UploadFile, until: float | None
) -> UploadOut:
    try:
        return _taken(workflow, who, workspace_url, file, until)
    except RequestError as error:
        findings = error.findings if isinstance(error, UploadError) else ()
        return UploadOut(
            message=error.message,
            status="VALIDATION_FAILED",
            validation_errors=told(findings, "error") or [error.message],
            validation_warnings=told(findings, "warning"),
        )


def _read(file: UploadFile) -> bytes:
    content = file.file.read(UPLOAD_BYTES + 1)
    if len(content) > UPLOAD_BYTES:
        raise UploadTooLargeError([Finding("error", f"larger than {UPLOAD_BYTES // MIB} MiB")])
    return content


def _answer(taken: Taken) -> UploadOut:
    return UploadOut(
        message=taken.message,
        share_pack_id=taken.id,
        share_pack_name=taken.name,
        status=taken.state.status,
        validation_errors=told(taken.findings, "error"),
        validation_warnings=told(taken.findings, "warning"),
        plan=PlanOut.of(taken.plan) if taken.plan else None,
    )

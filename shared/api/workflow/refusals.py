"""An upload's faults as a problem document: every one of them, with its line, or its sheet and cell."""

from dataclasses import asdict

from fastapi import FastAPI, Request
from fastapi.responses import Response

from shared.api import problems
from shared.sharing.errors import UploadError, WorkspaceRefusedError
from shared.sharing.model import Finding


def install(app: FastAPI) -> None:
    """Let refused uploads say where they are wrong."""

    @app.exception_handler(UploadError)
    def _upload(_request: Request, error: UploadError) -> Response:
        return problems.problem(
            error.status,
            error.message,
            code=error.code,
            hint=error.hint,
            places=[_placed(finding) for finding in error.findings],
        )

    @app.exception_handler(WorkspaceRefusedError)
    def _refused(_request: Request, error: WorkspaceRefusedError) -> Response:
        return problems.problem(502, error.message, code=error.code, hint=error.hint)


def _placed(finding: Finding) -> dict[str, object]:
    place = asdict(finding.place) if finding.place else {}
    return {"detail": finding.detail} | {name: value for name, value in place.items() if value is not None}

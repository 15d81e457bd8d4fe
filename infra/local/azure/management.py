"""Azure's management interface, as far as it concerns Data Factory: runs of pipelines."""

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from infra.local.azure.directory import Directory
from infra.local.azure.http import Answer, Request

RESOURCE = "https://management.azure.com"
_FACTORY = re.compile(
    r"/subscriptions/(?P<subscription>[^/]+)/resourceGroups/(?P<group>[^/]+)"
    r"/providers/Microsoft\.DataFactory/factories/(?P<factory>[^/]+)/(?P<rest>.+)"
)


@dataclass
class Run:
    """A run and what became of it; tests change it as the pipeline would."""

    run_id: str
    pipeline: str
    parameters: Mapping[str, Any]
    status: str = "InProgress"
    message: str = ""
    ended: str | None = None
    activities: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class DataFactory:
    """One factory. `pipelines`: parameters by pipeline, those that a run must give. `contributors`: object ids.

    `failures` are statuses to answer with next, before anything else but the token is looked at.
    """

    subscription_id: str
    resource_group: str
    name: str
    directory: Directory
    pipelines: Mapping[str, Sequence[str]]
    contributors: set[str] = field(default_factory=set)
    failures: list[int] = field(default_factory=list)
    runs: dict[str, Run] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def handle(self, request: Request) -> Answer:
        """The answer to one request, refused in the order in which Azure's front door and the factory look."""
        self.asked.append(request.path)
        claims = self.directory.check(request.bearer, RESOURCE)
        if claims is None:
            code = "AuthenticationFailed" if not request.bearer else "InvalidAuthenticationToken"
            return _error(401, code, "The access token is missing or invalid.")
        if self.failures:
            status = self.failures.pop(0)
            headers = {"Retry-After": "17"} if status == 429 else {}
            return _error(status, "TooManyRequests" if status == 429 else "InternalServerError", "", headers)
        found = _FACTORY.fullmatch(request.path)
        if found is None or "api-version" not in request.query:
            return _error(400, "MissingApiVersionParameter", "The api-version query parameter is required.")
        if request.query["api-version"] != "2018-06-01":
            return _error(400, "InvalidApiVersionParameter", "The api-version is invalid.")
        if claims["oid"] not in self.contributors:
            return _error(
                403,
                "AuthorizationFailed",
                f"The client with object id '{claims['oid']}' does not have authorization.",
            )
        return self._serve(request, found)

    def _serve(self, request: Request, found: re.Match[str]) -> Answer:
        if found["subscription"] != self.subscription_id:
            return _error(
                404, "SubscriptionNotFound", f"The subscription '{found['subscription']}' could not be found."
            )
        if (found["group"].lower(), found["factory"].lower()) != (
            self.resource_group.lower(),
            self.name.lower(),
        ):
            return _error(404, "ResourceNotFound", f"The Resource '{found['factory']}' was not found.")
        match [request.method, *found["rest"].split("/")]:
            case ["POST", "pipelines", pipeline, "createRun"]:
                return self._create(pipeline, request.json())
            case ["GET", "pipelineruns", run_id]:
                return self._run(run_id)
            case ["POST", "pipelineruns", run_id, "queryActivityruns"]:
                return self._activities(run_id, request.json())
        return _error(404, "InvalidResourceType", "The resource type could not be found.")

    def _create(self, pipeline: str, parameters: Any) -> Answer:
        if pipeline not in self.pipelines:
            return _error(
                404,
                "PipelineNotFound",
                f"The document could not be retrieved because it does not exist: {pipeline}",
            )
        given = parameters if isinstance(parameters, dict) else {}
        missing = [name for name in self.pipelines[pipeline] if name not in given]
        if missing:
            return _error(
                400,
                "BadRequest",
                f"The template validation failed: parameters not provided: {', '.join(missing)}",
            )
        run = Run(str(uuid.uuid4()), pipeline, given)
        self.runs[run.run_id] = run
        return Answer(200, {"runId": run.run_id})

    def _run(self, run_id: str) -> Answer:
        run = self.runs.get(run_id)
        if run is None:
            return _error(404, "RunNotFound", f"The run {run_id} was not found.")
        began = "2026-01-02T03:04:05.1234567Z"
        body = {
            "runId": run.run_id,
            "pipelineName": run.pipeline,
            "parameters": run.parameters,
            "status": run.status,
            "message": run.message,
            "runStart": began,
            "runEnd": run.ended,
            "durationInMs": None if run.ended is None else 1000,
            "lastUpdated": datetime.now(UTC).isoformat(),
        }
        return Answer(200, body)

    def _activities(self, run_id: str, window: Any) -> Answer:
        if run_id not in self.runs:
            return _error(404, "RunNotFound", f"The run {run_id} was not found.")
        if not isinstance(window, dict) or not {"lastUpdatedAfter", "lastUpdatedBefore"} <= window.keys():
            return _error(400, "BadRequest", "lastUpdatedAfter and lastUpdatedBefore are required.")
        wanted = {value for each in window.get("filters", []) for value in each["values"]}
        shown = [each for each in self.runs[run_id].activities if not wanted or each["status"] in wanted]
        return Answer(200, {"value": shown, "continuationToken": None})


def _error(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> Answer:
    return Answer(status, {"error": {"code": code, "message": message}}, headers or {})

"""Jobs and declarative pipelines: one notebook or file at work, by name.

A job runs `source` as its one task, with `destination` as a parameter; a declarative pipeline has `source` as its
one library and writes to `destination`, a `catalog.schema`. A pack without a schedule takes the schedule away; what
else it doesn't speak of (destination, comment, clusters, notifications, tags) stays as it is.
"""

from collections.abc import Mapping
from typing import Any

from databricks.sdk.service.jobs import JobsAPI
from databricks.sdk.service.pipelines import PipelinesAPI

from shared.adapters.databricks import names
from shared.adapters.databricks.wire import Wire
from shared.sharing.errors import WorkspaceRefusedError
from shared.sharing.model import Pipeline, PipelineType
from shared.sharing.observed import ObservedPipeline

Body = dict[str, Any]

TASK = "run"
ENVIRONMENT = "default"
PARAMETER = "destination"
UTC = "UTC"
# Declarative pipelines have no description of their own.
COMMENT = "tributary.comment"
# Files a task or library runs as they are; anything else in a workspace is a notebook.
_FILES = (".py", ".sql")
# Of a file's job: serverless compute of this version.
_ENVIRONMENT_VERSION = "2"


class Pipelines:
    """The jobs and pipelines of one workspace."""

    def __init__(self, wire: Wire) -> None:
        self._wire, self._jobs, self._declarative = wire, JobsAPI(wire), PipelinesAPI(wire)

    def find(self, type: PipelineType, name: str) -> ObservedPipeline | None:
        """The one of that name, compared without case; WorkspaceRefusedError with reason AMBIGUOUS for two."""
        names.securable(name)
        found = self._job_ids(name) if type == "JOB" else self._pipeline_ids(name)
        if len(found) > 1:
            raise WorkspaceRefusedError(
                f"{type.lower()} {name!r}: {len(found)} of that name are in the workspace",
                reason="AMBIGUOUS",
                hint="rename or delete all but one",
            )
        if not found:
            return None
        return self._job(found[0]) if type == "JOB" else self._pipeline(found[0])

    def create(self, pipeline: Pipeline) -> str:
        """Its id; nothing stops the workspace from holding two jobs of a name, so find first."""
        if pipeline.type == "JOB":
            return str(
                self._wire.do("POST", "/api/2.2/jobs/create", body=_job_settings({}, pipeline))["job_id"]
            )
        body = _pipeline_spec({}, pipeline)
        return str(self._wire.do("POST", "/api/2.0/pipelines", body=body)["pipeline_id"])

    def update(self, id: str, pipeline: Pipeline) -> None:
        """Make what is there do what the pack says; the requests replace, so the rest is sent back as it was."""
        names.identifier(id)
        if pipeline.type == "JOB":
            job = self._jobs.get(int(id)).as_dict()
            settings = _job_settings(job.get("settings", {}), pipeline)
            self._wire.do("POST", "/api/2.2/jobs/reset", body={"job_id": int(id), "new_settings": settings})
            return
        spec = self._declarative.get(id).as_dict().get("spec", {})
        self._wire.do("PUT", f"/api/2.0/pipelines/{id}", body=_pipeline_spec(spec, pipeline))

    def _job_ids(self, name: str) -> list[str]:
        jobs = self._jobs.list(name=name)
        return [
            str(job.job_id)
            for job in jobs
            if job.settings and (job.settings.name or "").lower() == name.lower()
        ]

    def _pipeline_ids(self, name: str) -> list[str]:
        # In LIKE an underscore stands for any character: what comes back is compared again.
        listed = self._declarative.list_pipelines(filter=f"name LIKE '{name}'")
        return [
            each.pipeline_id
            for each in listed
            if each.pipeline_id and (each.name or "").lower() == name.lower()
        ]

    def _job(self, id: str) -> ObservedPipeline:
        job = self._jobs.get(int(id)).as_dict()
        settings = job.get("settings", {})
        source, destination = _task_facts(settings.get("tasks", []))
        schedule = settings.get("schedule", {})
        ours = schedule.get("timezone_id") == UTC and schedule.get("pause_status", "UNPAUSED") == "UNPAUSED"
        return ObservedPipeline(
            id=id,
            name=settings.get("name", "").lower(),
            type="JOB",
            owner=job.get("run_as_user_name") or job.get("creator_user_name"),
            source=source,
            destination=destination,
            schedule=schedule.get("quartz_cron_expression") if ours else None,
            comment=settings.get("description") or None,
        )

    def _pipeline(self, id: str) -> ObservedPipeline:
        found = self._declarative.get(id).as_dict()
        spec = found.get("spec", {})
        libraries = spec.get("libraries", [])
        target = spec.get("schema") or spec.get("target")
        cron = spec.get("trigger", {}).get("cron", {})
        return ObservedPipeline(
            id=id,
            name=(found.get("name") or spec.get("name") or "").lower(),
            type="PIPELINE",
            owner=found.get("run_as_user_name") or found.get("creator_user_name"),
            source=_library_path(libraries[0]) if len(libraries) == 1 else None,
            destination=f"{spec['catalog']}.{target}" if spec.get("catalog") and target else None,
            schedule=cron.get("quartz_cron_schedule") if cron.get("timezone_id") == UTC else None,
            comment=spec.get("configuration", {}).get(COMMENT) or None,
        )


def _job_settings(was: Body, pipeline: Pipeline) -> Body:
    task, environments = _task(pipeline, pipeline.destination or _task_facts(was.get("tasks", []))[1])
    settings = was | {"name": pipeline.name, "tasks": [task]} | environments
    settings.setdefault("max_concurrent_runs", 1)
    if pipeline.comment is not None:
        settings["description"] = pipeline.comment
    settings.pop("schedule", None)
    if pipeline.schedule is not None:
        settings["schedule"] = {
            "quartz_cron_expression": pipeline.schedule,
            "timezone_id": UTC,
            "pause_status": "UNPAUSED",
        }
    return settings


def _task(pipeline: Pipeline, destination: str | None) -> tuple[Body, Body]:
    """The job's one task, and what else its job must hold for it."""
    if not pipeline.source.endswith(_FILES):
        notebook: Body = {"notebook_path": pipeline.source}
        if destination is not None:
            notebook["base_parameters"] = {PARAMETER: destination}
        return {"task_key": TASK, "notebook_task": notebook}, {}
    script: Body = {"python_file": pipeline.source}
    if destination is not None:
        script["parameters"] = [destination]
    task = {"task_key": TASK, "spark_python_task": script, "environment_key": ENVIRONMENT}
    spec = {"environment_version": _ENVIRONMENT_VERSION}
    return task, {"environments": [{"environment_key": ENVIRONMENT, "spec": spec}]}


def _task_facts(tasks: list[Body]) -> tuple[str | None, str | None]:
    """Source and destination of a job with one task of ours; None for what is set otherwise."""
    if len(tasks) != 1:
        return None, None
    notebook, script = tasks[0].get("notebook_task", {}), tasks[0].get("spark_python_task", {})
    if notebook:
        return notebook.get("notebook_path"), notebook.get("base_parameters", {}).get(PARAMETER)
    parameters = script.get("parameters", [])
    return script.get("python_file"), parameters[0] if len(parameters) == 1 else None


def _pipeline_spec(was: Body, pipeline: Pipeline) -> Body:
    kind = "file" if pipeline.source.endswith(_FILES) else "notebook"
    spec = was | {"name": pipeline.name, "libraries": [{kind: {"path": pipeline.source}}]}
    spec.setdefault("serverless", True)
    spec.setdefault("continuous", False)
    if pipeline.destination is not None:
        catalog, schema = names.full_name(pipeline.destination, 2).split(".")
        spec |= {"catalog": catalog, "schema": schema}
        # Its older word for the schema would contradict it.
        spec.pop("target", None)
    if pipeline.comment is not None:
        spec["configuration"] = spec.get("configuration", {}) | {COMMENT: pipeline.comment}
    spec.pop("trigger", None)
    if pipeline.schedule is not None:
        spec["trigger"] = {"cron": {"quartz_cron_schedule": pipeline.schedule, "timezone_id": UTC}}
    return spec


def _library_path(library: Mapping[str, Any]) -> str | None:
    held = library.get("file") or library.get("notebook") or {}
    return held.get("path")

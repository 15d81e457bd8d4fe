"""Jobs and their runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from infra.local.workspace.call import Call, Wire, present
from infra.local.workspace.errors import InvalidError
from infra.local.workspace.paging import read_token, write_token
from infra.local.workspace.state import Job, Run

DEFAULTS: dict[str, object] = {
    "email_notifications": {},
    "format": "MULTI_TASK",
    "max_concurrent_runs": 1,
    "timeout_seconds": 0,
}
PAGE_JOBS = 20
SETUP_MS = 20_000


class ResetJob(msgspec.Struct):
    """Body of a reset: all settings anew."""

    job_id: int
    new_settings: dict[str, Any]


class JobReference(msgspec.Struct):
    """Body that names a job."""

    job_id: int
    idempotency_token: str = ""


def create(call: Call) -> Wire:
    settings = call.body(dict[str, Any])
    job = Job(
        id=call.state.number(), created_at=call.now_ms, creator=call.caller.name, settings=_settings(settings)
    )
    call.state.jobs[job.id] = job
    return {"job_id": job.id}


def reset(call: Call) -> Wire:
    body = call.body(ResetJob)
    job = _owned(call, body.job_id)
    job.settings = _settings(body.new_settings)
    return {}


def get(call: Call) -> Wire:
    job = _named(call, _number(call.parameter("job_id")))
    return {**_wire(job), "run_as_user_name": job.creator}


def list_jobs(call: Call) -> Wire:
    name = call.parameters.get("name", "").lower()
    jobs = [
        job
        for job in call.state.jobs.values()
        if not name or str(job.settings.get("name", "")).lower() == name
    ]
    page, more = _page(call, jobs)
    return {"jobs": [_wire(job) for job in page], **more}


def delete(call: Call) -> Wire:
    job = _owned(call, call.body(JobReference).job_id)
    del call.state.jobs[job.id]
    return {}


def run_now(call: Call) -> Wire:
    """A token that was used before answers the run it started."""
    body = call.body(JobReference)
    job, state = _owned(call, body.job_id), call.state
    for run in state.runs.values():
        if body.idempotency_token and run.idempotency_token == body.idempotency_token:
            return {"run_id": run.id, "number_in_job": run.number}
    run_id = state.number()
    run = Run(
        id=run_id, job_id=job.id, number=run_id, started_at=call.now_ms, creator=call.caller.name,
        idempotency_token=body.idempotency_token,
    )  # fmt: skip
    state.runs[run.id] = run
    return {"run_id": run.id, "number_in_job": run.number}


def get_run(call: Call) -> Wire:
    number = _number(call.parameter("run_id"))
    if number not in call.state.runs:
        raise InvalidError(f"Run {number} does not exist.")
    return _run_wire(call, call.state.runs[number])


def list_runs(call: Call) -> Wire:
    """Newest first."""
    job_id, after = call.parameters.get("job_id"), int(call.parameters.get("start_time_from", "0"))
    before = int(call.parameters.get("start_time_to", "0")) or call.now_ms + 1
    runs = [
        run
        for run in sorted(call.state.runs.values(), key=lambda run: run.id, reverse=True)
        if job_id in (None, str(run.job_id)) and after <= run.started_at <= before and _wanted(call, run)
    ]
    page, more = _page(call, runs)
    return {"runs": [_run_wire(call, run) for run in page], **more}


def _wanted(call: Call, run: Run) -> bool:
    active, completed = (call.parameters.get(name) == "true" for name in ("active_only", "completed_only"))
    return not ((active and run.result) or (completed and not run.result))


def _settings(sent: dict[str, Any]) -> dict[str, object]:
    schedule = sent.get("schedule")
    if schedule is not None and len(str(schedule.get("quartz_cron_expression", "")).split()) not in (6, 7):
        raise InvalidError("Invalid cron expression: schedule.quartz_cron_expression")
    return DEFAULTS | {"name": "Untitled"} | sent


def _page(call: Call, items: Sequence[Any]) -> tuple[list[Any], Wire]:
    begin = read_token(call.parameters.get("page_token", ""))
    size = min(int(call.parameters.get("limit", PAGE_JOBS)) or PAGE_JOBS, 100)
    more = begin + size < len(items)
    following = {"next_page_token": write_token(begin + size)} if more else {}
    return list(items[begin : begin + size]), {"has_more": more, **following}


def _number(text: str) -> int:
    if not text.isdigit():
        raise InvalidError(f"{text!r} is not a number")
    return int(text)


def _named(call: Call, job_id: int) -> Job:
    if job_id not in call.state.jobs:
        raise InvalidError(f"Job {job_id} does not exist.")
    return call.state.jobs[job_id]


def _owned(call: Call, job_id: int) -> Job:
    job = _named(call, job_id)
    call.require_owner("Job", str(job.id), job.creator)
    return job


def _wire(job: Job) -> Wire:
    return {
        "job_id": job.id,
        "created_time": job.created_at,
        "creator_user_name": job.creator,
        "settings": job.settings,
    }


def _run_wire(call: Call, run: Run) -> Wire:
    ended = bool(run.result)
    lasted = run.ended_at - run.started_at if ended else 0
    job = call.state.jobs.get(run.job_id)
    return present(
        {
            "run_id": run.id,
            "job_id": run.job_id,
            "job_run_id": run.id,
            "number_in_job": run.number,
            "run_name": job.settings.get("name") if job else None,
            "run_type": "JOB_RUN",
            "trigger": "ONE_TIME",
            "creator_user_name": run.creator,
            "start_time": run.started_at,
            "end_time": run.ended_at if ended else None,
            "run_duration": lasted if ended else None,
            "setup_duration": min(SETUP_MS, lasted),
            "execution_duration": max(0, lasted - SETUP_MS),
            "cleanup_duration": 0,
            "run_page_url": f"{call.url}/jobs/{run.job_id}/runs/{run.id}",
            "state": present(
                {
                    "life_cycle_state": "TERMINATED" if ended else "RUNNING",
                    "result_state": run.result or None,
                    "state_message": "",
                }
            ),
        }
    )

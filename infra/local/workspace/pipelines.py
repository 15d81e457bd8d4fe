"""Declarative pipelines: create, read, replace, delete, start."""

from __future__ import annotations

import re
import uuid
from typing import Any

from infra.local.workspace.call import Call, Wire
from infra.local.workspace.errors import AbsentError, ConflictError, InvalidError
from infra.local.workspace.paging import cut
from infra.local.workspace.state import Pipeline

DEFAULTS: dict[str, object] = {
    "continuous": False,
    "development": False,
    "channel": "CURRENT",
    "edition": "ADVANCED",
}
NOT_SPEC = ("allow_duplicate_names", "dry_run", "expected_last_modified", "pipeline_id")


def create(call: Call) -> Wire:
    body = call.body(dict[str, Any])
    _check(call, body, own_id="")
    pipeline = Pipeline(id=str(uuid.uuid4()), creator=call.caller.name, last_modified=call.now_ms, spec={})
    pipeline.spec = _spec(pipeline.id, body)
    call.state.pipelines[pipeline.id] = pipeline
    return {"pipeline_id": pipeline.id}


def get(call: Call) -> Wire:
    pipeline = _found(call)
    return {**_wire(pipeline), "spec": pipeline.spec, "last_modified": pipeline.last_modified}


def replace(call: Call) -> Wire:
    """PUT: what is left out is gone."""
    body, pipeline = call.body(dict[str, Any]), _owned(call)
    _check(call, body, own_id=pipeline.id)
    pipeline.spec = _spec(pipeline.id, body)
    pipeline.last_modified = call.now_ms
    return {}


def delete(call: Call) -> Wire:
    del call.state.pipelines[_owned(call).id]
    return {}


def list_pipelines(call: Call) -> Wire:
    wanted = call.parameters.get("filter", "")
    pipelines = [each for each in call.state.pipelines.values() if _passes(each, wanted)]
    page, more = cut(pipelines, call.parameters, call.switches)
    return {"statuses": [_wire(pipeline) for pipeline in page], **more}


def start(call: Call) -> Wire:
    pipeline = _owned(call)
    pipeline.updates.append(str(uuid.uuid4()))
    return {"update_id": pipeline.updates[-1]}


def _passes(pipeline: Pipeline, wanted: str) -> bool:
    """Filters are `name LIKE 'pattern'`, where % stands for any text and _ for any character."""
    if not wanted:
        return True
    pattern = re.escape(wanted.partition("'")[2].rstrip("'")).replace("%", ".*").replace("_", ".")
    return re.fullmatch(pattern, str(pipeline.spec.get("name", "")), re.IGNORECASE) is not None


def _check(call: Call, body: dict[str, Any], *, own_id: str) -> None:
    if not body.get("name"):
        raise InvalidError("Missing required field: name")
    same = [each.id for each in call.state.pipelines.values() if each.spec.get("name") == body["name"]]
    if not body.get("allow_duplicate_names") and set(same) - {own_id}:
        raise ConflictError(f"The pipeline name '{body['name']}' is already used by another pipeline.")


def _spec(pipeline_id: str, body: dict[str, Any]) -> dict[str, object]:
    return {"id": pipeline_id} | DEFAULTS | {k: v for k, v in body.items() if k not in NOT_SPEC}


def _found(call: Call) -> Pipeline:
    if call.names[0] not in call.state.pipelines:
        raise AbsentError(f"The specified pipeline {call.names[0]} was not found.")
    return call.state.pipelines[call.names[0]]


def _owned(call: Call) -> Pipeline:
    pipeline = _found(call)
    call.require_owner("Pipeline", pipeline.id, pipeline.creator)
    return pipeline


def _wire(pipeline: Pipeline) -> Wire:
    return {
        "pipeline_id": pipeline.id,
        "name": pipeline.spec["name"],
        "state": "IDLE",
        "creator_user_name": pipeline.creator,
        "run_as_user_name": pipeline.creator,
    }

"""Who calls, and what the routes act through."""

from typing import Annotated, cast

from fastapi import Depends, Request

from shared.adapters.tokens import Caller
from shared.api.workflow.ports import WorkflowServices
from shared.sharing.views import Actor


def actor(caller: Caller) -> Actor:
    """The caller in the domain's words."""
    return Actor(caller.subject, caller.name, caller.is_app, caller.tenants)


def _services(request: Request) -> WorkflowServices:
    return cast(WorkflowServices, request.app.state.workflow)


Services = Annotated[WorkflowServices, Depends(_services)]

"""databricks-sdk over the workspace stand-in, each answer kept as it came over the wire."""

from collections.abc import Callable
from typing import Any

from databricks.sdk import WorkspaceClient
from databricks.sdk.clock import Clock
from databricks.sdk.core import Config
from databricks.sdk.service import sharing
from databricks.sdk.service.sharing import (
    AuthenticationType,
    SharedDataObject,
    SharedDataObjectDataObjectType,
    SharedDataObjectUpdate,
    SharedDataObjectUpdateAction,
)

from infra.local.workspace import WorkspaceServer

METASTORE = "aws:us-west-2:abc-123-def"


class Unhurried(Clock):
    """Sleeps by moving its own time, so that a retry waits for nothing."""

    def __init__(self) -> None:
        self.now, self.slept = 0.0, [0.0]

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class RecordingClient(WorkspaceClient):
    """`answers` holds what each call got, before the SDK reads it."""

    def __init__(self, workspace: WorkspaceServer, token: str = "", **config: Any) -> None:
        self.clock = Unhurried()
        chosen = {"host": workspace.url, "token": token or workspace.token, "retry_timeout_seconds": 3}
        super().__init__(config=Config(clock=self.clock, **(chosen | config)))
        self.answers: list[Any] = []
        ask: Callable[..., Any] = self.api_client.do

        def asked(*arguments: Any, **options: Any) -> Any:
            answer = ask(*arguments, **options)
            self.answers.append(answer)
            return answer

        self.api_client.do = asked  # type: ignore[method-assign]


def change(action: str, name: str, kind: str | None = "TABLE", **members: Any) -> SharedDataObjectUpdate:
    """One step of a PATCH."""
    shown = SharedDataObjectDataObjectType(kind) if kind else None
    return SharedDataObjectUpdate(
        action=SharedDataObjectUpdateAction(action),
        data_object=SharedDataObject(name=name, data_object_type=shown, **members),
    )


Act = Callable[[RecordingClient], object]


def objects(workspace: WorkspaceServer, share: str = "sold") -> list[str]:
    return [each.name for each in workspace.state.shares[share].objects]


def update(*updates: sharing.SharedDataObjectUpdate) -> Act:
    return lambda client: client.shares.update("sold", updates=list(updates))


def recipient(name: str, kind: AuthenticationType = AuthenticationType.TOKEN, **members: Any) -> Act:
    return lambda client: client.recipients.create(name, kind, **members)


def networks(*given: str) -> sharing.IpAccessList:
    return sharing.IpAccessList(list(given))


def permit(principal: str, add: list[str], remove: list[str] | None = None) -> Act:
    given = [sharing.PermissionsChange(principal=principal, add=add, remove=remove)]
    return lambda client: client.shares.update_permissions("sold", changes=given)

"""The Databricks adapter over a workspace, with a clock of its own."""

from typing import Any

from infra.local.workspace import WorkspaceServer
from shared.adapters.databricks.client import FixedToken, Limits, open_wire
from shared.adapters.databricks.wire import Patience, Wire
from shared.adapters.databricks.workspace import DatabricksWorkspace
from shared.sharing.model import DataObject, ObjectType
from shared.sharing.observed import ObservedObject
from shared.sharing.ports import ObjectChange


class Seconds:
    """Time that only sleeping moves."""

    def __init__(self) -> None:
        self.now, self.slept = 0.0, list[float]()

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def wire_to(
    server: WorkspaceServer, *, token: str = "", seconds: Seconds | None = None, **limits: Any
) -> Wire:
    """A wire that sleeps in no time; further keywords go to Limits."""
    time = seconds or Seconds()
    chosen: dict[str, Any] = {
        "calls_per_s": 1000.0,
        "patience": Patience(clock=time.clock, sleep=time.sleep),
    } | limits
    return open_wire(server.url, [server.host], FixedToken(token or server.token), "0.1.0", Limits(**chosen))


def adapter_to(
    server: WorkspaceServer, token: str = "", seconds: Seconds | None = None
) -> DatabricksWorkspace:
    return DatabricksWorkspace(wire_to(server, token=token, seconds=seconds))


def add(name: str, kind: ObjectType = ObjectType.TABLE, **members: object) -> ObjectChange:
    return ObjectChange("ADD", DataObject(name, kind, **members), kind)  # type: ignore[arg-type]


def again(action: str, was: ObservedObject, **members: object) -> ObjectChange:
    """A change of an object as it was observed."""
    kind = was.type or ObjectType.TABLE
    return ObjectChange(action, DataObject(was.name, kind, **members), kind, was)  # type: ignore[arg-type]

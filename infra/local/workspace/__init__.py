"""The workspace stand-in: Databricks' sharing, catalog, job and pipeline routes, their refusals, their faults."""

from infra.local.workspace.faults import FAULT_KINDS, FaultKind
from infra.local.workspace.identity import OTHER, PROVISIONER, Identity
from infra.local.workspace.log import Logged
from infra.local.workspace.server import WorkspaceServer
from infra.local.workspace.state import State
from infra.local.workspace.switches import Switches

__all__ = [
    "FAULT_KINDS",
    "OTHER",
    "PROVISIONER",
    "FaultKind",
    "Identity",
    "Logged",
    "State",
    "Switches",
    "WorkspaceServer",
]

"""Stand-in for Microsoft's services: Entra's token endpoint, Graph's users and groups, Cost Management's query."""

from infra.local.microsoft.costs import CostRow
from infra.local.microsoft.server import MicrosoftServer
from infra.local.microsoft.switches import Switches

__all__ = ["CostRow", "MicrosoftServer", "Switches"]

"""Whether workspaces still hold what packs gave them: the planner's question, asked on a timer.

Reported first; repaired only by policy, and then through the same plan, approval and journal as anything else.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from shared.errors import AppError
from shared.sharing.apply import Provisioning
from shared.sharing.holdings import holdings_of
from shared.sharing.model import Finding
from shared.sharing.plan_actions import Action, Kind
from shared.sharing.provision import SERVICE, Notify, Outside, Stores
from shared.sharing.store import Uploads
from shared.sharing.views import PackView, State

DriftPolicy = Literal["report", "repair"]
_AT_ONCE = 500
# Where several packs name one thing, the newest one's word counts for what only one of them can have.
_ONE_WORD = frozenset(
    {
        Kind.COMMENT_SHARE, Kind.COMMENT_RECIPIENT, Kind.NARROW_ADDRESSES, Kind.REPLACE_ADDRESSES,
        Kind.WIDEN_ADDRESSES, Kind.UPDATE_PIPELINE, Kind.UPDATE_OBJECTS, Kind.NARROW_OBJECTS,
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Drifted:
    """A pack whose workspace differs, and what it would take to mend it; `errors`: what no plan can mend."""

    pack: PackView
    actions: tuple[Action, ...]
    errors: tuple[Finding, ...] = ()

    @property
    def differs(self) -> bool:
        """Whether anything is not as it was provisioned."""
        return bool(self.actions or self.errors)

    @property
    def detail(self) -> str:
        """In words, without anything secret."""
        said = [finding.detail for finding in self.errors]
        return "; ".join(said + [f"{a.kind} {a.target}: {a.reason}" for a in self.actions])


@dataclass(slots=True)
class DriftWatch:
    """Looks at every pack that was provisioned whole."""

    stores: Stores
    outside: Outside
    uploads: Uploads
    policy: DriftPolicy
    notify: Notify
    tell: Callable[..., None]
    budget_s: float = 240.0

    def run(self) -> list[Drifted]:
        """Look, say, and mend where that is the policy. A workspace that does not answer is left for the next time.

        Stops when its time is up, before the host would stop it, and says how many packs it did not come to.
        """
        named: dict[str, set[str]] = {}
        found = []
        packs, deadline = self._completed(), self.outside.clock.monotonic() + self.budget_s
        for looked_at, pack in enumerate(packs):
            if self.outside.clock.monotonic() >= deadline:
                self.tell("drift_cut_short", level=30, left=len(packs) - looked_at)
                break
            try:
                drifted = self._look(pack, named.setdefault(pack.workspace, set()))
                if drifted.differs:
                    found.append(drifted)
                    self._act(drifted)
            except AppError as error:
                self.tell("drift_not_looked_at", level=30, share_pack=str(pack.id), code=error.code)
        self.tell("drift", drifted=len(found))
        return found

    def _completed(self) -> list[PackView]:
        """The one that was applied last first: an older pack that was rolled back counts as new."""
        found: list[PackView] = []
        after = None
        while True:
            page = self.stores.packs.page(None, state=State.COMPLETED, limit=_AT_ONCE, after=after)
            found += [replace(pack, steps=()) for pack in page]
            if len(page) < _AT_ONCE:
                return sorted(found, key=lambda pack: pack.updated_at, reverse=True)
            after = (page[-1].created_at, page[-1].id)

    def _look(self, pack: PackView, named: set[str]) -> Drifted:
        subject = Provisioning(self.stores.packs.content(pack.id))
        owned = self.stores.ownership.owned(pack.workspace)
        contributions = self.stores.contributions.current(workspace=pack.workspace)
        holdings = holdings_of(pack.id, pack.workspace, owned, contributions)
        plan = subject.plan(holdings, subject.observe(self.outside.workspace(pack.workspace), {}, map))
        mine = tuple(a for a in plan.actions if a.kind not in _ONE_WORD or a.resource not in named)
        named |= set(plan.facts)
        return Drifted(pack, mine, plan.errors)

    def _act(self, drifted: Drifted) -> None:
        pack = drifted.pack
        self.notify("drift", pack, drifted.detail)
        self.tell("share_pack_drifted", level=30, share_pack=str(pack.id), actions=len(drifted.actions))
        if self.policy == "repair" and not drifted.errors:
            self.uploads.rollback(pack.id, pack.version, None, by=SERVICE, reason="the workspace drifted")

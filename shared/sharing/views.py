"""A share pack as people look at it: where it stands, what happened, who could read what."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from shared.sharing.model import Finding, Strategy

NOBODY = UUID(int=0)
"""Stands for the pack where something is planned for none."""


class State(StrEnum):
    """Where a share pack stands, exactly."""

    IN_PROGRESS = "IN_PROGRESS"
    SCHEDULED = "SCHEDULED"
    AWAITING_APPROVAL = "AWAITING_APPROVAL"
    COMPLETED = "COMPLETED"
    PARTIAL = "PARTIAL"
    FAILED = "FAILED"
    VALIDATION_FAILED = "VALIDATION_FAILED"
    REJECTED = "REJECTED"
    CANCELLED = "CANCELLED"

    @property
    def is_open(self) -> bool:
        """Whether something may still happen without anybody uploading again."""
        return self in OPEN

    @property
    def status(self) -> str:
        """One of the four words that published clients wait for."""
        if self in OPEN:
            return "IN_PROGRESS"
        return "FAILED" if self in _FAILED else self.value


OPEN = frozenset({State.IN_PROGRESS, State.SCHEDULED, State.AWAITING_APPROVAL})
_FAILED = frozenset({State.PARTIAL, State.FAILED, State.REJECTED, State.CANCELLED})


@dataclass(frozen=True, slots=True)
class StepView:
    """A step of the last application: `status` intended, done, skipped or failed."""

    position: int
    action: str
    status: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class PackView:
    """A share pack's current version. `requested_by` is the requestor, `uploaded_by` the caller."""

    id: UUID
    name: str
    state: State
    strategy: Strategy
    version: int
    tenant: str
    workspace: str
    requested_by: str
    uploaded_by: str
    created_at: datetime
    updated_at: datetime
    error_message: str = ""
    findings: tuple[Finding, ...] = ()
    steps: tuple[StepView, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class VersionView:
    """One version of a share pack; `effective_to` None while it is the current one."""

    version: int
    state: State
    changed_by: str
    reason: str
    effective_from: datetime
    effective_to: datetime | None


@dataclass(frozen=True, slots=True)
class Exposure:
    """That a recipient can (or could) read an object through a share, for these packs, from these networks.

    `networks` empty: from everywhere; None: not known here, for the recipient is not ours. `adopted_by`: who took the
    share over with a part of this in it.
    """

    recipient: str
    object: str
    share: str
    workspace: str
    packs: tuple[str, ...]
    networks: tuple[str, ...] | None
    since: datetime
    adopted_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: `subject` is the directory's object id, `name` the user principal name; `tenants` None means all."""

    subject: str
    name: str
    is_app: bool
    tenants: frozenset[str] | None

    def sees(self, tenant: str) -> bool:
        """Whether the tenant is one of the caller's."""
        return self.tenants is None or tenant in self.tenants

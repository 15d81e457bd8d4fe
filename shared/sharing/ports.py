"""What share packs need from outside. Adapters fulfil these; fakes and adapters pass one contract suite."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

from shared.sharing.model import AllowedIps, DataObject, ObjectType, Pipeline, PipelineType, Recipient
from shared.sharing.observed import (
    CatalogObject,
    ObservedObject,
    ObservedPipeline,
    ObservedRecipient,
    ObservedShare,
)


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A token just made. `activation_url` is a credential: it goes to the vault and nowhere else."""

    id: str
    activation_url: str
    expires_at: datetime | None = None

    def __repr__(self) -> str:
        return f"IssuedToken(id={self.id!r})"


@dataclass(frozen=True, slots=True)
class ObjectChange:
    """One entry of a share update; `was` is the object as observed, for UPDATE and REMOVE."""

    action: Literal["ADD", "UPDATE", "REMOVE"]
    object: DataObject
    type: ObjectType
    was: ObservedObject | None = None


@dataclass(frozen=True, slots=True)
class GrantChange:
    """SELECT for one recipient of a share, given or taken."""

    recipient: str
    grant: bool


class Workspace(Protocol):
    """A Databricks workspace. Names are lower case and allow-listed again before any path is built.

    Every call may raise the errors of `shared.sharing.errors`; writes whose reply was lost raise OutcomeUnknownError.
    """

    def identity(self) -> str:
        """The user or service principal that the calls act as."""
        ...

    def share(self, name: str) -> ObservedShare | None:
        """The share with all objects and grants, or None."""
        ...

    def recipient(self, name: str) -> ObservedRecipient | None: ...
    def recipient_of_metastore(self, metastore_id: str) -> ObservedRecipient | None:
        """The D2D recipient that already stands for this metastore: there can only be one."""
        ...

    def pipeline(self, type: PipelineType, name: str) -> ObservedPipeline | None:
        """Found by name; raises WorkspaceRefusedError with reason AMBIGUOUS where two bear it."""
        ...

    def catalog_object(self, name: str, type: ObjectType | None = None) -> CatalogObject | None:
        """What `catalog.schema[.name]` is; without `type`, tables and views are tried before other kinds."""
        ...

    def catalog_objects(self, wanted: Mapping[str, ObjectType | None]) -> Mapping[str, CatalogObject]:
        """`catalog_object` for many names in as few calls as the platform allows; what is absent is left out."""
        ...

    def create_share(self, name: str, comment: str | None) -> None: ...
    def update_share(self, name: str, changes: Sequence[ObjectChange]) -> None:
        """At most 100 changes; the platform does not promise that they are atomic."""
        ...

    def comment_share(self, name: str, comment: str) -> None: ...
    def own_share(self, name: str, owner: str) -> None: ...
    def grant(self, share: str, changes: Sequence[GrantChange]) -> None:
        """Add and take SELECT for many recipients in one call."""
        ...

    def create_recipient(self, recipient: Recipient) -> IssuedToken | None:
        """The first token of an open recipient; None for D2D."""
        ...

    def update_recipient(self, name: str, *, comment: str | None, allowed_ips: AllowedIps) -> None:
        """None leaves a field alone; ANY_ADDRESS clears the list."""
        ...

    def own_recipient(self, name: str, owner: str) -> None: ...
    def rotate_token(self, name: str, *, old_expires_in_s: int) -> IssuedToken:
        """Never sent twice by the adapter: a repeat would rotate again."""
        ...

    def pending_activation(self, name: str) -> IssuedToken | None:
        """The newest token whose activation link was not used yet, read again; None where none can be read.

        A link whose reply was lost is found here without another rotation.
        """
        ...

    def create_pipeline(self, pipeline: Pipeline) -> str:
        """Its id."""
        ...

    def update_pipeline(self, id: str, pipeline: Pipeline) -> None: ...


class Vault(Protocol):
    """Where activation links go, once."""

    def put(self, name: str, value: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Entry:
    """A step of an application, as the journal knows it; `result` never holds a credential.

    `again`: a person asked for another try since it failed or was skipped.
    """

    position: int
    action: str
    status: Literal["intended", "done", "skipped", "failed"]
    result: Mapping[str, str]
    again: bool = False


class Journal(Protocol):
    """The write-ahead log of one application of a plan; each call is committed when it returns.

    Raises FencedError where another delivery took over.
    """

    def entries(self) -> Sequence[Entry]:
        """By position; an intended entry without a conclusion means: observe first."""
        ...

    def intend(self, position: int, action: str) -> None:
        """Say what comes next; also for a position that is intended, failed or skipped already."""
        ...

    def conclude(
        self,
        position: int,
        status: Literal["done", "skipped", "failed"],
        result: Mapping[str, str] | None = None,
    ) -> None: ...


class Clock(Protocol):
    """Time, and waiting for it."""

    def monotonic(self) -> float: ...
    def sleep(self, seconds: float) -> None: ...


class Leases(Protocol):
    """Fenced leases on `share/name`, `recipient/name` and `pipeline/type/name` of a workspace."""

    def hold(self, workspace: str, names: Sequence[str], holder: UUID) -> AbstractContextManager[None]:
        """Taken in sorted order, all or none, renewed until left; raises TransientError while another holds one."""
        ...


Kind = Literal["share", "recipient", "object", "grant", "pipeline"]


@dataclass(frozen=True, slots=True)
class Contribution:
    """That a pack wants something: `share`, `recipient`, `share|type|name|alias`, `share|recipient` or `type|name`.

    Something is removed only when the last pack that contributed it withdraws.
    """

    pack_id: UUID
    workspace: str
    kind: Kind
    key: str


class Directory(Protocol):
    """People and groups, by Microsoft Graph."""

    def user(self, principal_name: str) -> bool:
        """Whether such a user exists and is enabled."""
        ...

    def group(self, name: str) -> bool:
        """Whether such a group exists."""
        ...

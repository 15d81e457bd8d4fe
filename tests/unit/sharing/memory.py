"""A workspace, a journal, leases and a vault in memory that refuse what the real ones refuse.

Every call passes a trap, before and after its effect, where a test may fail it or kill the process.
"""

import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network
from typing import Literal
from uuid import UUID

from shared.errors import PermanentError, TransientError
from shared.sharing.errors import AlreadyExistsError, MissingError, WorkspaceRefusedError
from shared.sharing.model import (
    TABLE_LIKE,
    AllowedIps,
    AnyAddress,
    DataObject,
    ObjectType,
    Pipeline,
    PipelineType,
    Recipient,
    RecipientType,
)
from shared.sharing.observed import (
    AUTHENTICATION,
    SELECT,
    CatalogObject,
    ObservedObject,
    ObservedPipeline,
    ObservedRecipient,
    ObservedShare,
    ObservedToken,
    ObservedWorkspace,
)
from shared.sharing.ports import Entry, GrantChange, IssuedToken, ObjectChange

ME = "provisioner"
URL = "https://workspace.example.org"
NOW = datetime(2026, 4, 1, tzinfo=UTC)
_NAME = re.compile(r"[a-z0-9_-]{1,255}")


class Killed(BaseException):
    """The process ended here."""


@dataclass
class Trap:
    """Raises what a test planted at the n-th passing, or at a named place; `passed` lists all so far."""

    at: dict[int, BaseException] = field(default_factory=dict)
    named: dict[str, list[BaseException]] = field(default_factory=dict)
    passed: list[str] = field(default_factory=list)

    def hit(self, place: str) -> None:
        self.passed.append(place)
        if self.named.get(place):
            raise self.named[place].pop(0)
        if len(self.passed) in self.at:
            raise self.at.pop(len(self.passed))


@dataclass
class MemoryWorkspace:
    """`ports.Workspace`. Switches say what the platform does not promise; `calls` counts, `writes` lists."""

    shares: dict[str, ObservedShare] = field(default_factory=dict)
    recipients: dict[str, ObservedRecipient] = field(default_factory=dict)
    pipelines: dict[tuple[PipelineType, str], ObservedPipeline] = field(default_factory=dict)
    catalog: dict[str, CatalogObject] = field(default_factory=dict)
    readable: Callable[[str], bool] = lambda name: True
    me: str = ME
    trap: Trap = field(default_factory=Trap)
    atomic: bool = True
    ips_replace: bool = True
    links_readable: bool = True
    stale_reads: int = 0
    lagging_lists: bool = False  # of pipelines, too
    links: dict[str, str] = field(default_factory=dict)
    writes: list[tuple[str, str]] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    watch: Callable[["MemoryWorkspace"], None] = lambda workspace: None
    doubled: set[tuple[PipelineType, str]] = field(default_factory=set)
    _old: dict[str, tuple[int, object]] = field(default_factory=dict)
    _tokens: int = 0

    def state(self) -> ObservedWorkspace:
        """What is really there."""
        return ObservedWorkspace(
            self.me, dict(self.shares), dict(self.recipients), dict(self.pipelines), dict(self.catalog)
        )

    # reading

    def identity(self) -> str:
        self.calls["identity"] += 1
        return self.me

    def share(self, name: str) -> ObservedShare | None:
        found = self._read("share", name, self.shares.get(name))
        if found is None:
            return None
        grants = list(found.grants.items())
        random.Random(name).shuffle(grants)
        return replace(found, grants=dict(grants))

    def recipient(self, name: str) -> ObservedRecipient | None:
        return self._read("recipient", name, self.recipients.get(name))

    def recipient_of_metastore(self, metastore_id: str) -> ObservedRecipient | None:
        self.calls["recipient_of_metastore"] += 1
        return self._of_metastore(metastore_id)

    def pipeline(self, type: PipelineType, name: str) -> ObservedPipeline | None:
        if (type, name) in self.doubled:
            raise refusal("AMBIGUOUS", f"two of {name}")
        return self._read("pipeline", f"{type}/{name}", self.pipelines.get((type, name)))

    def catalog_object(self, name: str, type: ObjectType | None = None) -> CatalogObject | None:
        self.calls["catalog_object"] += 1
        return self.catalog.get(name)

    def catalog_objects(self, wanted: Mapping[str, ObjectType | None]) -> Mapping[str, CatalogObject]:
        self.calls["catalog_objects"] += len({name.rpartition(".")[0] for name in wanted})
        return {name: self.catalog[name] for name in wanted if name in self.catalog}

    def pending_activation(self, name: str) -> IssuedToken | None:
        self.calls["pending_activation"] += 1
        now = self.recipients.get(name)
        newest = now.tokens[-1] if now and now.tokens else None
        if newest is None or not self.links_readable or newest.id not in self.links:
            return None
        return IssuedToken(newest.id, self.links[newest.id])

    # shares

    def create_share(self, name: str, comment: str | None) -> None:
        with self._write("create_share", f"share/{name}"):
            if name in self.shares:
                raise AlreadyExistsError(f"share {name}", reason="SHARE_ALREADY_EXISTS")
            self.shares[name] = ObservedShare(name, self.me, comment)

    def update_share(self, name: str, changes: Sequence[ObjectChange]) -> None:
        with self._write("update_share", f"share/{name}"):
            if len(changes) > 100:
                raise refusal("INVALID_PARAMETER_VALUE", f"{len(changes)} updates")
            if len({change.object.name for change in changes}) < len(changes):
                raise refusal("INVALID_PARAMETER_VALUE", "an object is named twice")
            before = self._owned(name)
            share = before
            for change in changes:
                try:
                    share = replace(share, objects=self._changed(share, change))
                except WorkspaceRefusedError:
                    self.shares[name] = before if self.atomic else share
                    raise
            self.shares[name] = share

    def comment_share(self, name: str, comment: str) -> None:
        with self._write("comment_share", f"share/{name}"):
            self.shares[name] = replace(self._owned(name), comment=comment)

    def own_share(self, name: str, owner: str) -> None:
        with self._write("own_share", f"share/{name}"):
            self.shares[name] = replace(self._owned(name), owner=owner)

    def grant(self, share: str, changes: Sequence[GrantChange]) -> None:
        with self._write("grant" if changes[0].grant else "revoke", f"share/{share}"):
            now = self._owned(share)
            grants = dict(now.grants)
            for change in changes:
                if change.recipient not in self.recipients:
                    raise MissingError(change.recipient, reason="RECIPIENT_DOES_NOT_EXIST")
                held = grants.get(change.recipient, frozenset[str]())
                grants[change.recipient] = held | {SELECT} if change.grant else held - {SELECT}
            self.shares[share] = replace(now, grants={n: held for n, held in grants.items() if held})

    # recipients

    def create_recipient(self, recipient: Recipient) -> IssuedToken | None:
        with self._write("create_recipient", f"recipient/{recipient.name}") as answer:
            if recipient.name in self.recipients:
                raise AlreadyExistsError(recipient.name, reason="RECIPIENT_ALREADY_EXISTS")
            if recipient.type is RecipientType.D2D and self._of_metastore(recipient.metastore_id):
                raise AlreadyExistsError("a metastore has one recipient", reason="RECIPIENT_ALREADY_EXISTS")
            listed = None if isinstance(recipient.allowed_ips, AnyAddress) else checked(recipient.allowed_ips)
            made = ObservedRecipient(
                recipient.name, self.me, AUTHENTICATION[recipient.type], recipient.metastore_id,
                recipient.comment, listed,
            )  # fmt: skip
            self.recipients[recipient.name] = made
            if recipient.type is RecipientType.D2O:
                answer.append(self._issue(made))
        return answer[0] if answer else None

    def update_recipient(self, name: str, *, comment: str | None, allowed_ips: AllowedIps) -> None:
        with self._write("update_recipient", f"recipient/{name}"):
            now = self._recipient(name)
            if allowed_ips is not None:
                if now.authentication != "TOKEN":
                    raise refusal("INVALID_PARAMETER_VALUE", "addresses are for open recipients")
                listed = None if isinstance(allowed_ips, AnyAddress) else checked(allowed_ips)
                if not self.ips_replace and listed and now.allowed_ips:
                    listed = tuple(dict.fromkeys((*now.allowed_ips, *listed)))
                now = replace(now, allowed_ips=listed)
            self.recipients[name] = now if comment is None else replace(now, comment=comment)

    def own_recipient(self, name: str, owner: str) -> None:
        with self._write("own_recipient", f"recipient/{name}"):
            self.recipients[name] = replace(self._recipient(name), owner=owner)

    def rotate_token(self, name: str, *, old_expires_in_s: int) -> IssuedToken:
        with self._write("rotate_token", f"recipient/{name}") as answer:
            now = self._recipient(name)
            if now.authentication != "TOKEN" or len(now.tokens) > 1:
                raise refusal("INVALID_STATE", "no token, or two of them")
            old = [replace(t, expires_at=NOW + timedelta(seconds=old_expires_in_s)) for t in now.tokens]
            answer.append(self._issue(replace(now, tokens=tuple(old) if old_expires_in_s else ())))
        return answer[0]

    # pipelines

    def create_pipeline(self, pipeline: Pipeline) -> str:
        with self._write("create_pipeline", f"pipeline/{pipeline.type}/{pipeline.name}"):
            key = (pipeline.type, pipeline.name)
            if key in self.pipelines and pipeline.type == "PIPELINE":
                raise AlreadyExistsError(pipeline.name, reason="RESOURCE_CONFLICT")
            self.doubled |= {key} if key in self.pipelines else set()  # names of jobs are not unique
            self._put(str(len(self.pipelines) + 1), pipeline)
        return self.pipelines[key].id

    def update_pipeline(self, id: str, pipeline: Pipeline) -> None:
        with self._write("update_pipeline", f"pipeline/{pipeline.type}/{pipeline.name}"):
            self._put(id, pipeline)

    # inside

    def _of_metastore(self, id: str | None) -> ObservedRecipient | None:
        wanted = (id or "").lower()
        return next((r for r in self.recipients.values() if (r.metastore_id or "").lower() == wanted), None)

    def _put(self, id: str, p: Pipeline) -> None:
        now = self.pipelines.get((p.type, p.name))
        destination = p.destination or (now.destination if now else None)
        comment = now.comment if p.comment is None and now else p.comment
        self.pipelines[p.type, p.name] = ObservedPipeline(
            id, p.name, p.type, self.me, p.source, destination, p.schedule, comment
        )

    def _issue(self, now: ObservedRecipient) -> IssuedToken:
        self._tokens += 1
        token = ObservedToken(f"token-{self._tokens}", NOW)
        self.links[token.id] = f"https://example.net/activate/{self._tokens}"
        self.recipients[now.name] = replace(now, tokens=(*now.tokens, token))
        return IssuedToken(token.id, self.links[token.id])

    def _owned(self, name: str) -> ObservedShare:
        if name not in self.shares:
            raise MissingError(f"share {name}", reason="SHARE_DOES_NOT_EXIST")
        if self.shares[name].owner != self.me:
            raise refusal("PERMISSION_DENIED", f"share {name} belongs to somebody else")
        return self.shares[name]

    def _recipient(self, name: str) -> ObservedRecipient:
        if name not in self.recipients:
            raise MissingError(f"recipient {name}", reason="RECIPIENT_DOES_NOT_EXIST")
        if self.recipients[name].owner != self.me:
            raise refusal("PERMISSION_DENIED", f"recipient {name} belongs to somebody else")
        return self.recipients[name]

    def _changed(self, share: ObservedShare, change: ObjectChange) -> tuple[ObservedObject, ...]:
        wanted = change.object
        if change.action == "ADD":
            return (*share.objects, self._added(share, wanted, change.type))
        alias = change.was.alias if change.was else wanted.shared_as
        same = [o for o in share.objects if o.name == wanted.name and o.alias == alias]
        if not same:
            raise MissingError(f"{wanted.name} as {alias}", reason="RESOURCE_DOES_NOT_EXIST")
        rest = tuple(o for o in share.objects if o is not same[0])
        if change.action == "REMOVE":
            return rest
        return (*rest, self._described(same[0], wanted))

    def _added(self, share: ObservedShare, wanted: DataObject, kind: ObjectType) -> ObservedObject:
        known = self.catalog.get(wanted.name)
        if known is None or known.type is not kind:
            raise MissingError(f"{kind} {wanted.name}", reason="TABLE_DOES_NOT_EXIST")
        if not self.readable(wanted.name):
            raise refusal("PERMISSION_DENIED", f"no SELECT on {wanted.name}")
        alias = wanted.shared_as or ".".join(wanted.name.split(".")[-2:])
        if any(o.alias == alias for o in share.objects):
            raise AlreadyExistsError(f"{alias} in {share.name}", reason="RESOURCE_ALREADY_EXISTS")
        return self._described(ObservedObject(wanted.name, kind, alias, status="ACTIVE"), wanted)

    def _described(self, now: ObservedObject, wanted: DataObject) -> ObservedObject:
        if wanted.history and wanted.cdf is not None:
            raise refusal("INVALID_PARAMETER_VALUE", "history and the change feed exclude each other")
        if now.type not in TABLE_LIKE and (wanted.history is not None or wanted.partitions):
            raise refusal("INVALID_PARAMETER_VALUE", "only tables have history and partitions")
        history = now.history if wanted.history is None else wanted.history
        cdf = now.cdf if wanted.cdf is None else wanted.cdf
        if now.history and not history and wanted.cdf is None:
            cdf = False
        partitions = now.partitions if wanted.partitions is None else wanted.partitions
        return replace(now, history=bool(history), cdf=bool(history or cdf), partitions=partitions)

    def _read(self, kind: str, name: str, now: object) -> "object | None":
        self.calls[kind] += 1
        self.trap.hit(f"read {kind}/{name}")
        left, old = self._old.get(f"{kind}/{name}", (0, None))
        if left:
            self._old[f"{kind}/{name}"] = (left - 1, old)
            return old
        return now

    @contextmanager
    def _write(self, call: str, resource: str) -> Iterator[list[IssuedToken]]:
        answer: list[IssuedToken] = []
        self.calls[call] += 1
        self.trap.hit(f"before {call} {resource}")
        before = self._now(resource)
        try:
            yield answer
        finally:
            lags = self.lagging_lists or not resource.startswith("pipeline/")
            if self.stale_reads and lags and self._now(resource) != before:
                self._old[resource] = (self.stale_reads, before)
            self.watch(self)
        self.writes.append((call, resource))
        self.trap.hit(f"after {call} {resource}")

    def _now(self, resource: str) -> object:
        kind, _, name = resource.partition("/")
        if kind == "share":
            return self.shares.get(name)
        if kind == "recipient":
            return self.recipients.get(name)
        return next((p for (t, n), p in self.pipelines.items() if f"{t}/{n}" == name), None)


def refusal(reason: str, message: str) -> WorkspaceRefusedError:
    return WorkspaceRefusedError(message, reason=reason)


def checked(listed: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """The list as the platform takes it."""
    if listed is None:
        return None
    if not 0 < len(listed) <= 100:
        raise ValueError("an empty list would open the recipient to the world")
    try:
        for each in listed:
            IPv4Network(each)
    except ValueError as error:
        raise refusal("INVALID_PARAMETER_VALUE", "not an IPv4 address") from error
    return tuple(listed)


@dataclass
class MemoryJournal:
    """`ports.Journal`, refusing what the one in PostgreSQL refuses."""

    trap: Trap = field(default_factory=Trap)
    kept: dict[int, Entry] = field(default_factory=dict)
    strict: bool = True

    def entries(self) -> Sequence[Entry]:
        return [self.kept[position] for position in sorted(self.kept)]

    def intend(self, position: int, action: str) -> None:
        self.trap.hit(f"before intend {position}")
        if position in self.kept and self.kept[position].status == "done":
            raise PermanentError(f"step {position} is done already")
        self.kept[position] = Entry(position, action, "intended", {})
        self.trap.hit(f"after intend {position}")

    def conclude(
        self,
        position: int,
        status: Literal["done", "skipped", "failed"],
        result: Mapping[str, str] | None = None,
    ) -> None:
        self.trap.hit(f"before conclude {position}")
        if self.strict and (position not in self.kept or self.kept[position].status != "intended"):
            raise PermanentError(f"step {position} was not intended")
        action = self.kept[position].action if position in self.kept else "?"
        self.kept[position] = Entry(position, action, status, dict(result or {}))
        self.trap.hit(f"after conclude {position}")


@dataclass
class MemoryVault:
    """`ports.Vault`."""

    trap: Trap = field(default_factory=Trap)
    kept: dict[str, str] = field(default_factory=dict)

    def put(self, name: str, value: str) -> None:
        self.trap.hit(f"before put {name}")
        assert re.fullmatch(r"[A-Za-z0-9-]{1,127}", name)
        self.kept[name] = value
        self.trap.hit(f"after put {name}")


@dataclass
class MemoryLeases:
    """`ports.Leases`; `taken` by somebody else refuses."""

    taken: set[str] = field(default_factory=set)
    held: list[tuple[str, ...]] = field(default_factory=list)

    @contextmanager
    def hold(self, workspace: str, names: Sequence[str], holder: UUID) -> Iterator[None]:
        if self.taken & {*names}:
            raise TransientError("another application holds it")
        assert list(names) == sorted(names)
        self.held.append(tuple(names))
        yield


@dataclass
class MemoryClock:
    """Time that passes only while somebody sleeps, and a second with every question."""

    now: float = 0.0
    slept: float = 0.0
    tick: float = 0.0

    def monotonic(self) -> float:
        self.now += self.tick
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += seconds


def tables(*names: str, kind: ObjectType = ObjectType.TABLE) -> dict[str, CatalogObject]:
    """A catalogue of these."""
    return {name: CatalogObject(name, kind) for name in names}


def echoed(objects: Iterable[DataObject]) -> tuple[ObservedObject, ...]:
    """Objects of a share as the server shows them."""
    return tuple(
        ObservedObject(
            o.name, o.type or ObjectType.TABLE, o.shared_as or ".".join(o.name.split(".")[-2:]),
            o.partitions or (), bool(o.history), bool(o.history or o.cdf), "ACTIVE",
        )
        for o in objects
    )  # fmt: skip

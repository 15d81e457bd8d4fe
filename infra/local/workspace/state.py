"""What the workspace holds, as plain structs: the whole state encodes to JSON, is copied before each write, and loads.

Names are keys in lower case. Times are epoch milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

Privileges = dict[str, list[str]]

# Which privilege lets its holder share an object of a kind.
READS = {"table": "SELECT", "schema": "SELECT", "volume": "READ_VOLUME"}


class Securable(msgspec.Struct, kw_only=True):
    """A catalog, schema, table, volume, function or model; `table_type` is Unity Catalog's word for tables."""

    kind: str
    full_name: str
    owner: str
    id: str
    created_at: int
    table_type: str = ""
    comment: str | None = None
    columns: list[tuple[str, str]] = []
    privileges: Privileges = {}

    @property
    def name(self) -> str:
        return self.full_name.rpartition(".")[2]


class PartitionValue(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One comparison of a partition filter."""

    name: str
    op: str = "EQUAL"
    value: str | None = None
    recipient_property_key: str | None = None


class Partition(msgspec.Struct, omit_defaults=True):
    """Comparisons that all must hold."""

    values: list[PartitionValue] = []


class SharedObject(msgspec.Struct, kw_only=True):
    """An object in a share; (type, name, alias) is its identity."""

    name: str
    type: str
    alias: str
    added_at: int
    added_by: str
    comment: str | None = None
    content: str | None = None
    cdf: bool = False
    history: bool = False
    partitions: list[Partition] = []
    start_version: int | None = None


class Share(msgspec.Struct, kw_only=True):
    """A share; `privileges` by recipient name."""

    name: str
    owner: str
    created_at: int
    created_by: str
    updated_at: int
    updated_by: str
    comment: str | None = None
    storage_root: str | None = None
    objects: list[SharedObject] = []
    privileges: Privileges = {}


class Token(msgspec.Struct, kw_only=True):
    """A bearer token of an open recipient; `activation` is spent when the credential file is fetched."""

    id: str
    secret: str
    activation: str | None
    created_at: int
    created_by: str
    expiration_time: int


class Policy(msgspec.Struct, kw_only=True):
    """A federation policy, its OIDC part as it came."""

    name: str
    id: str
    create_time: str
    update_time: str
    comment: str | None = None
    oidc_policy: dict[str, object] = {}


class Recipient(msgspec.Struct, kw_only=True):
    """A recipient; `metastore` is the global id of a Databricks one's metastore."""

    name: str
    id: str
    authentication_type: str
    owner: str
    created_at: int
    created_by: str
    updated_at: int
    updated_by: str
    comment: str | None = None
    metastore: str | None = None
    ip_addresses: list[str] = []
    properties: dict[str, str] = {}
    activated: bool = False
    tokens: list[Token] = []
    policies: list[Policy] = []


class Job(msgspec.Struct, kw_only=True):
    """A job; its settings as they came, with the service's defaults."""

    id: int
    created_at: int
    creator: str
    settings: dict[str, object]


class Run(msgspec.Struct, kw_only=True):
    """A finished or running run of a job."""

    id: int
    job_id: int
    number: int
    started_at: int
    creator: str
    ended_at: int = 0
    result: str = ""
    idempotency_token: str = ""


class Pipeline(msgspec.Struct, kw_only=True):
    """A declarative pipeline; its spec as it came."""

    id: str
    creator: str
    last_modified: int
    spec: dict[str, object]
    updates: list[str] = []


class State(msgspec.Struct, kw_only=True):
    """Everything; tests may read and change it between requests."""

    metastore: Securable
    global_metastore_id: str
    token_lifetime_s: int = 365 * 86400
    securables: dict[str, Securable] = {}
    shares: dict[str, Share] = {}
    recipients: dict[str, Recipient] = {}
    jobs: dict[int, Job] = {}
    runs: dict[int, Run] = {}
    pipelines: dict[str, Pipeline] = {}
    last_number: int = 1000

    def number(self) -> int:
        """A number never given out before."""
        self.last_number += 1
        return self.last_number

    def find(self, kind: str, full_name: str) -> Securable | None:
        return self.securables.get(f"{kind} {full_name.lower()}")

    def of_kind(self, kind: str, parent: str = "") -> list[Securable]:
        """The securables of a kind, directly under a parent where one is named."""
        found = [each for each in self.securables.values() if each.kind == kind]
        return [each for each in found if not parent or each.full_name.rpartition(".")[0] == parent.lower()]

    def add(self, securable: Securable) -> None:
        self.securables[f"{securable.kind} {securable.full_name}"] = securable

    def grant(self, securable: Securable, principal: str, *privileges: str) -> None:
        held = securable.privileges.setdefault(principal.lower(), [])
        held += [each for each in privileges if each not in held]

    def revoke(self, securable: Securable, principal: str, *privileges: str) -> None:
        """Take privileges away; without any named, all of them."""
        held = securable.privileges.get(principal.lower(), [])
        left = [each for each in held if privileges and each not in privileges]
        securable.privileges.pop(principal.lower(), None)
        if left:
            securable.privileges[principal.lower()] = left

    def may_share(self, principals: Iterable[str], securable: Securable) -> bool:
        """Whether one of the principals owns the object or holds what sharing it asks, there or above."""
        wanted = {READS.get(securable.kind, "EXECUTE"), "ALL_PRIVILEGES"}
        names = {principal.lower() for principal in principals}
        for level in self._upwards(securable):
            held = {each for name in names for each in level.privileges.get(name, ())}
            if level.owner.lower() in names or held & wanted:
                return True
        return False

    def _upwards(self, securable: Securable) -> list[Securable]:
        parts = securable.full_name.split(".")
        above = [self.find("schema", ".".join(parts[:2])), self.find("catalog", parts[0])]
        return [securable, *(each for each in above if each is not None)]


def encode(state: State) -> bytes:
    return msgspec.json.encode(state)


def decode(content: bytes) -> State:
    return msgspec.json.decode(content, type=State)

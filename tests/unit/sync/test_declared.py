"""Row versions that a person declares, and what an entity may say of its bound."""

from dataclasses import replace
from uuid import UUID

import pytest

from shared.sync.catalogue import Entity
from shared.sync.declared import bound_of, declared_version
from shared.sync.description import ApiColumn
from shared.sync.model import VersionSpec

TYPES = {
    "seq": "bigint",
    "at": "timestamp(3) with time zone",
    "xid": "xid8",
    "note": "text",
    "price": "numeric(9,2)",
}
ENTITY = Entity(
    uid=UUID(int=1), connector_uid=UUID(int=2), slug="t", api_name="t", delta_strategy="rowversion",
    business_keys=("seq",), target_schema="public", target_table="t", dialect="postgres", overlap=5,
    columns=tuple(ApiColumn(name, kind) for name, kind in TYPES.items()),
)  # fmt: skip


def declared(column: str, **changes: object) -> Entity:
    return replace(ENTITY, parameters={"rowversion_column": column}, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(("column", "kind"), [("seq", "number"), ("at", "timestamp"), ("xid", "number")])
def test_declared_column_gives_the_version(column: str, kind: str) -> None:
    assert declared_version(declared(column)) == (VersionSpec(kind, column), [])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("entity", "field"),
    [
        (declared("xmin"), "parameters.rowversion_column"),
        (declared("ctid"), "parameters.rowversion_column"),
        (declared("unheard-of"), "parameters.rowversion_column"),
        (declared("note"), "parameters.rowversion_column"),
        (declared("price"), "parameters.rowversion_column"),
        (declared("seq", overlap=0), "overlap"),
    ],
)
def test_what_cannot_be_a_version_is_named(entity: Entity, field: str) -> None:
    version, problems = declared_version(entity)
    assert version is None and [name for name, _ in problems] == [field]


def test_transaction_ids_need_no_overlap() -> None:
    assert declared_version(declared("xid", overlap=0))[1] == []


def test_parameter_means_nothing_to_other_dialects() -> None:
    assert declared_version(declared("xmin", dialect="oracle")) == (None, [])


@pytest.mark.parametrize(
    ("version", "kind", "strategy", "bound"),
    [
        (VersionSpec("number", "xid"), "postgres", "rowversion", "exact"),
        (VersionSpec("number"), "postgres", "rowversion", "exact"),
        (VersionSpec("number", "seq"), "postgres", "rowversion", "overlap"),
        (VersionSpec("timestamp", "at"), "postgres", "rowversion", "overlap"),
        (VersionSpec("number", "xid"), "postgres", "hash", None),
        (VersionSpec("number", "xid"), "http", "rowversion", None),
        (None, "postgres", "rowversion", None),
    ],
)
def test_bound_is_exact_only_for_transaction_ids(
    version: VersionSpec | None, kind: str, strategy: str, bound: str | None
) -> None:
    entity = replace(ENTITY, version=version, delta_strategy=strategy)  # type: ignore[arg-type]
    assert bound_of(entity, kind) == bound

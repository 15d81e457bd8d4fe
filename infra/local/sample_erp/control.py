"""The control endpoint: JSON bodies in, source changes out. Unauthenticated, for this machine only.

Bodies are msgspec structs, not pydantic models: `Raw` members keep every digit of the values to write.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import msgspec

from infra.local.loopback import Answer, Request, json_answer
from infra.local.sample_erp.errors import ErpError, UnknownSlugError
from infra.local.sample_erp.protocol import Behaviour
from infra.local.sample_erp.sampling import RawValues, random_keys
from infra.local.sample_erp.schema import ColumnSpec
from infra.local.sample_erp.story import StoryRequest, tell_story

if TYPE_CHECKING:
    from infra.local.sample_erp.erp import SampleErp

Action = Callable[["SampleErp", bytes], dict[str, object]]


class RowChange(msgspec.Struct, forbid_unknown_fields=True):
    """Columns to set in the row of this key."""

    key: RawValues
    set: RawValues


class UpdateRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Named rows, or `where_random` of them getting the same `set`; one seed picks the same rows."""

    slug: str
    changes: list[RowChange] = []
    where_random: int = 0
    seed: int = 0
    set: RawValues = {}
    txn: str | None = None


class DeleteRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Named rows, or `where_random` of them."""

    slug: str
    keys: list[RawValues] = []
    where_random: int = 0
    seed: int = 0
    txn: str | None = None


class InsertRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Rows to add."""

    slug: str
    rows: list[RawValues]
    duplicate: bool = False
    txn: str | None = None


class BreakRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A value of any kind for one column of one row."""

    slug: str
    key: RawValues
    column: str
    value: msgspec.Raw = msgspec.Raw(b'"abc"')


class TransactionRequest(msgspec.Struct, forbid_unknown_fields=True):
    """An open transaction by name."""

    txn: str


class AddColumnRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A column that appears, with one value in every row."""

    slug: str
    name: str
    data_type: str
    is_nullable: bool = True
    value: msgspec.Raw = msgspec.Raw(b"null")


class DropColumnRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A column that goes."""

    slug: str
    name: str


class BehaveRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Members of `Behaviour` to change for one table, or for all when no slug is given."""

    changes: dict[str, Any]
    slug: str = ""


class FailRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Answers to spoil, as in `SampleErp.fail`."""

    path: str
    status: int
    times: int = 1
    skip: int = 0


class TokensRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Revokes every issued token; new ones live `expires_in` seconds where that is given."""

    expires_in: int | None = None


def control(erp: SampleErp, request: Request) -> Answer:
    """Runs one control action; UnknownSlugError names the ones there are."""
    name = request.path.removeprefix("/control/")
    if name == "health":
        return json_answer(_health(erp))
    action = ACTIONS.get(name)
    if action is None or request.method != "POST":
        raise UnknownSlugError(f"no control action {name!r}; POST to one of {', '.join(sorted(ACTIONS))}")
    return json_answer(action(erp, request.body or b"{}"))


def _health(erp: SampleErp) -> dict[str, object]:
    return {
        "ok": True,
        "fresh": erp.fresh,
        "seeded_now": erp.seeded_now,
        "tables": {slug: erp.count(slug) for slug in erp.store.specs},
        "rowversion": erp.store.counter("version"),
        "safe_rowversion": erp.store.safe_version(),
        "open_transactions": erp.store.open_transactions(),
        "stories_told": erp.store.counter("story"),
    }


def _update(erp: SampleErp, body: bytes) -> dict[str, object]:
    wanted = msgspec.json.decode(body, type=UpdateRequest)
    changes = [(change.key, change.set) for change in wanted.changes]
    changes += [(key, wanted.set) for key in random_keys(erp, wanted.slug, wanted.where_random, wanted.seed)]
    with erp.store.transaction():
        for key, values in changes:
            erp.update(wanted.slug, key, values, txn=wanted.txn)
    return {"updated": len(changes), "keys": [key for key, _ in changes]}


def _delete(erp: SampleErp, body: bytes) -> dict[str, object]:
    wanted = msgspec.json.decode(body, type=DeleteRequest)
    keys = wanted.keys + random_keys(erp, wanted.slug, wanted.where_random, wanted.seed)
    return {"deleted": erp.delete(wanted.slug, keys, txn=wanted.txn), "keys": keys}


def _insert(erp: SampleErp, body: bytes) -> dict[str, object]:
    wanted = msgspec.json.decode(body, type=InsertRequest)
    return {"inserted": erp.insert(wanted.slug, wanted.rows, txn=wanted.txn, duplicate=wanted.duplicate)}


def _break(erp: SampleErp, body: bytes) -> dict[str, object]:
    wanted = msgspec.json.decode(body, type=BreakRequest)
    erp.break_row(wanted.slug, wanted.key, wanted.column, wanted.value)
    return {"broken": 1, "key": wanted.key, "column": wanted.column}


def _commit(erp: SampleErp, body: bytes) -> dict[str, object]:
    return {"committed": erp.commit(_transaction(erp, body))}


def _roll_back(erp: SampleErp, body: bytes) -> dict[str, object]:
    return {"rolled_back": erp.roll_back(_transaction(erp, body))}


def _transaction(erp: SampleErp, body: bytes) -> str:
    name = msgspec.json.decode(body, type=TransactionRequest).txn
    if name not in erp.store.open_transactions():
        raise UnknownSlugError(f"no open transaction {name!r}; a write with txn opens one")
    return name


def _add_column(erp: SampleErp, body: bytes) -> dict[str, object]:
    wanted = msgspec.json.decode(body, type=AddColumnRequest)
    erp.add_column(wanted.slug, ColumnSpec(wanted.name, wanted.data_type, wanted.is_nullable), wanted.value)
    return {"added": wanted.name}


def _drop_column(erp: SampleErp, body: bytes) -> dict[str, object]:
    wanted = msgspec.json.decode(body, type=DropColumnRequest)
    erp.drop_column(wanted.slug, wanted.name)
    return {"dropped": wanted.name}


def _behave(erp: SampleErp, body: bytes) -> dict[str, object]:
    wanted = msgspec.json.decode(body, type=BehaveRequest)
    answer: dict[str, object] = {}
    for slug in [wanted.slug] if wanted.slug else list(erp.store.specs):
        merged = asdict(erp.connector.behaviour(slug)) | wanted.changes
        try:
            # Converting refuses a wrong type or choice before the table answers strangely.
            behaviour = msgspec.convert(merged, Behaviour)
        except msgspec.ValidationError as error:
            raise ErpError(f"behaviour doesn't fit: {error}") from error
        answer[slug] = erp.behave(slug, **{name: getattr(behaviour, name, None) for name in wanted.changes})
    return answer


def _fail(erp: SampleErp, body: bytes) -> dict[str, object]:
    wanted = msgspec.json.decode(body, type=FailRequest)
    erp.fail(wanted.path, wanted.status, times=wanted.times, skip=wanted.skip)
    return {"failing": wanted.path, "status": wanted.status}


def _tokens(erp: SampleErp, body: bytes) -> dict[str, object]:
    wanted = msgspec.json.decode(body, type=TokensRequest)
    if wanted.expires_in is not None:
        erp.tokens.expires_in = wanted.expires_in
    return {"revoked": erp.tokens.revoke_all(), "expires_in": erp.tokens.expires_in}


def _reset(erp: SampleErp, body: bytes) -> dict[str, object]:
    erp.reset()
    return _health(erp)


def _story(erp: SampleErp, body: bytes) -> dict[str, object]:
    return tell_story(erp, msgspec.json.decode(body, type=StoryRequest))


ACTIONS: dict[str, Action] = {
    "update": _update,
    "delete": _delete,
    "insert": _insert,
    "break": _break,
    "commit": _commit,
    "rollback": _roll_back,
    "add_column": _add_column,
    "drop_column": _drop_column,
    "behave": _behave,
    "fail": _fail,
    "tokens": _tokens,
    "reset": _reset,
    "story": _story,
}

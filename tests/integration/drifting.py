"""A table whose shape changes under the sync, for the tests of drift, of other keys and of adopted tables."""

import json
from dataclasses import replace
from typing import Any

from infra.local.sample_erp import ColumnSpec, TableSpec, parse_columns
from shared import failpoints
from tests.integration.harness import Row, World

COLUMNS = "id NUMBER(9) NOT NULL\n code VARCHAR2(20) NOT NULL\n note VARCHAR2(40)\n amount NUMBER(8,2)"


def table(strategy: Any = "rowversion", columns: str = COLUMNS, keys: tuple[str, ...] = ("id",)) -> TableSpec:
    """A table of four columns, two of which could be its key."""
    return TableSpec(slug="t", keys=keys, strategy=strategy, columns=parse_columns(columns))


def rows(count: int) -> dict[str, list[dict[str, object]]]:
    """Good rows."""
    made: list[dict[str, object]] = [
        {"id": i, "code": f"c{i:03d}", "note": f"note {i}", "amount": i + 0.5} for i in range(1, count + 1)
    ]
    return {"t": made}


def retype(world: World, member: str, data_type: str) -> None:
    """The source describes a column otherwise from now on."""
    store = world.erp.store
    spec = store.spec("t")
    columns = tuple(replace(c, data_type=data_type) if c.member == member else c for c in spec.columns)
    with store.transaction():
        store._save_spec(replace(spec, columns=columns))


def add(world: World, name: str, value: object = None, data_type: str = "NUMBER(9)") -> None:
    """A column more at the source."""
    world.erp.add_column("t", ColumnSpec(name, data_type), value)


def warnings(world: World) -> str:
    return "\n".join(world.entity("t")["warnings"])


def types_of(world: World, name: str = "t") -> dict[str, str]:
    found = world.sql(
        "SELECT attname, format_type(atttypid, atttypmod) AS kind FROM pg_attribute"
        " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped", name,
    )  # fmt: skip
    return {row["attname"]: row["kind"] for row in found}


def of_source(world: World) -> dict[int, Row]:
    """The source's rows by id."""
    told = [{name: json.loads(text) for name, text in row.items()} for row in world.erp.rows("t")]
    return {row["id"]: row for row in told}


def stamps(world: World, name: str = "t") -> dict[int, tuple[Any, Any]]:
    """What marks a row as itself and as updated."""
    return {row["id"]: (row["_bridge_uid"], row["_bridge_updated_at"]) for row in world.stored(name)}


def kill_at(world: World, point: str) -> bool:
    """Deliver one message with a failpoint armed; whether the delivery died there. The message stays, as after kill."""
    message = world.queue.receive_message(visibility_timeout=1)
    assert message is not None
    failpoints.arm(f"{point}=raise")
    try:
        world.app.sync_table(message.content.encode(), message.id, message.dequeue_count)
    except failpoints.FailpointError:
        return True
    finally:
        failpoints.arm("")
    world.queue.delete_message(message)
    return False


def release(world: World) -> None:
    """As if the dead delivery's lease had run out and its message were sent again."""
    world.sql("UPDATE bridge.sync_slices SET lease_until = now() - interval '1 s', sent_at = NULL")
    world.sql("DELETE FROM bridge.outbox")
    world.app.agenda.heal()
    world.app.send_outbox()

"""Every HTTP fault ends as declared, through the adapter and as a whole run: nothing deleted, no watermark moved."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest

from infra.local.azurite import Azurite
from infra.local.sample_erp.erp import Credentials
from shared.adapters.http_source import HttpSource, Pace
from shared.errors import AppError
from tests.integration.fault_scripts import EVERY, PARTIAL, SCRIPTS, Script, changed, page
from tests.integration.harness import Row, World
from tests.integration.http_faults import (
    StubServer,
    body,
    config,
    read_table,
    source_for,
    sources_are_closed,
    stub,
)

__all__ = ("sources_are_closed",)  # autouse: importing it puts it to work
API = (
    b'[{"slug":"orders","name":"Orders","business_key_columns":["id"],"delta_strategy":"%s","rowversion":%s,'
    b'"columns":[{"name":"id","data_type":"NUMBER(9)","is_nullable":false,"is_business_key":true},'
    b'{"name":"note","data_type":"VARCHAR2(40)"}]}]'
)


def test_the_corpus_is_large_enough_and_each_script_has_a_rule_and_an_outcome_of_its_own() -> None:
    assert len(SCRIPTS) >= 40 and len(PARTIAL) >= 12
    assert (
        len({script.name for script in SCRIPTS}) == len({script.rule for script in SCRIPTS}) == len(SCRIPTS)
    )
    assert all(script.code and script.says and script.steps for script in SCRIPTS)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_walk_over_a_faulty_source_is_refused_or_never_proven(script: Script) -> None:
    with stub(*script.steps, probes=script.probes) as server:
        source = _source(script, server)
        try:
            reading = read_table(source, config(strategy=script.strategies[-1]))
        except AppError as error:
            assert (error.code, script.says in error.message) == (script.code, True), error.message
            assert error.hint
        else:
            assert (script.code, reading.proof.proven, reading.proof.reason) == (
                "unproven",
                False,
                script.says,
            )


def _source(script: Script, server: StubServer) -> HttpSource:
    if script.limits is None:
        return source_for(server)
    return source_for(server, limits=script.limits, pace=Pace())


@dataclass(frozen=True)
class StubErp:
    """What a world asks of its source before the first script: an address and a token."""

    base_url: str
    credentials: Credentials = field(default_factory=Credentials)


@dataclass
class Scripted:
    """`sync.detect.Sources`: the stub, asked by the real adapter with a script's patience."""

    server: StubServer
    registered: Any
    script: Script | None = None

    def play(self, script: Script) -> None:
        self.script, self.server.steps[:], self.server.probes[:] = script, script.steps, script.probes

    def source(self, connector_uid: object) -> HttpSource:
        return _source(self.script, self.server) if self.script else source_for(self.server)

    def close(self) -> None:
        self.registered.close()


@pytest.fixture
def loaded(database: str, azurite: Azurite, request: Any) -> Iterator[tuple[World, Scripted]]:
    """Rows 1 to 4, loaded and proven; what the next walk proves absent is deleted at once."""
    strategy = request.param
    version = b'{"column":"v","kind":"number"}' if strategy == "rowversion" else b"null"
    first = b'{"rows":%s,"safe_rowversion":14,"next_cursor":null}' % _rows(1, 2, 3, 4)
    with ExitStack() as stack:
        server = stack.enter_context(stub(body(first)))
        server.lists.append(body(API % (strategy.encode(), version)))
        erp: Any = StubErp(server.base_url)
        world = World(database, azurite.connection_string, erp, {}, max_retries=0)
        stack.callback(world.close)
        scripted = Scripted(server, world.app.connectors)
        world.app.connectors = scripted  # type: ignore[assignment]
        world.sync_now("orders")
        world.sql("UPDATE bridge.entities SET delete_after_missing = 1")
        yield world, scripted


def _rows(*keys: int) -> bytes:
    return json.dumps([row | {"row_version": str(row["row_version"])[-1]} for row in changed(*keys)]).encode()


def told(world: World, run: Row) -> Row:
    """What a run did, in the words of this corpus."""
    state = world.state("orders")
    gone = [row["id"] for row in world.stored("orders") if row["_bridge_deleted"]]
    kept = (state["watermark"], state["probe"], gone, run["soft_deleted"])
    return {"status": run["status"], "error": run["error"], "kept": kept}


def fault(world: World, scripted: Scripted, script: Script, before: Row) -> str | None:
    """Play one script as a whole run; what went wrong, if anything did."""
    scripted.play(script)
    # Each for itself: the third unproven snapshot in a row is published without deletes, and says so.
    world.sql("UPDATE bridge.erp_sync_state SET unproven_snapshots = 0")
    after = told(world, world.sync_now("orders"))
    error = after["error"] or {"code": None, "message": ""}
    as_declared = error["code"] == script.code and script.says in error["message"]
    status = {"unproven": "partial"}.get(script.code, "failed")
    if as_declared and after["status"] == status and after["kept"] == before["kept"]:
        return None
    return f"{script.name}: {after}"


@pytest.mark.parametrize("loaded", EVERY, indirect=True, ids=EVERY)
def test_faulty_source_ends_no_data_deletes_nothing_and_moves_no_watermark(
    loaded: tuple[World, Scripted],
) -> None:
    world, scripted = loaded
    strategy = world.entity("orders")["delta_strategy"]
    before = told(world, world.runs()[-1])
    assert before["status"] == "success" and len(world.rows("orders")) == 4
    scripts = [script for script in SCRIPTS if strategy in script.strategies]
    wrong = [said for script in scripts if (said := fault(world, scripted, script, before))]
    assert not wrong, "\n".join(wrong)
    assert len(world.rows("orders")) >= 4


@pytest.mark.parametrize("loaded", EVERY, indirect=True, ids=EVERY)
def test_same_rows_withheld_by_a_proven_walk_are_deleted_and_the_watermark_moves(
    loaded: tuple[World, Scripted],
) -> None:
    """What the scripts above must not do does happen where nothing is wrong."""
    world, scripted = loaded
    before = told(world, world.runs()[-1])["kept"]
    scripted.server.steps[:] = [page(1, 2, next_cursor=None)]
    after = told(world, world.sync_now("orders"))
    is_delta = world.entity("orders")["delta_strategy"] == "rowversion"
    assert (after["status"], sorted(after["kept"][2])) == ("success", [] if is_delta else [3, 4])
    assert (after["kept"][0] != before[0]) == is_delta

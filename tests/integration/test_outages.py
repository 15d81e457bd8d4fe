"""T50, T71: PostgreSQL without writes, space or connections pauses tables, says so, and they go on; so do secrets."""

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from infra.local.sample_erp import TableSpec, parse_columns
from shared.adapters.postgres.database import Database, Server, translate
from shared.errors import AppError, TargetUnavailableError
from shared.secrets import CachedVault
from tests.fakes_vault import FakeVault
from tests.integration.harness import MakeWorld, World

SPEC = TableSpec(
    slug="t", keys=("id",), strategy="hash", columns=parse_columns("id NUMBER(9) NOT NULL\n note VARCHAR2(9)")
)
ROWS = {"t": [{"id": i, "note": f"n{i}"} for i in range(5)]}


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    return make_world([SPEC], ROWS)


def read_only(world: World, on: bool) -> None:
    name = conninfo_to_dict(world.conninfo)["dbname"]
    change = "SET default_transaction_read_only = on" if on else "RESET ALL"
    with psycopg.connect(
        world.conninfo, autocommit=True, options="-c default_transaction_read_only=off"
    ) as admin:
        admin.execute(f"ALTER DATABASE {name} {change}")  # type: ignore[arg-type]


def delivered(world: World, message: Any, count: int) -> str:
    """How delivery number `count` of a message ends."""
    try:
        world.app.sync_table(message.content.encode(), message.id, count)
    except AppError as error:
        return error.code
    return "acknowledged"


def test_server_without_writes_pauses_the_slice_before_it_is_poison_and_recovers(world: World) -> None:
    world.tick()
    message = world.queue.receive_message(visibility_timeout=600)
    read_only(world, True)
    world.compose(migrate_on_start=False)
    assert [delivered(world, message, n) for n in (1, 2, 3)] == ["target_read_only"] * 3
    assert delivered(world, message, 4) == "acknowledged"
    later = world.queue.get_queue_properties().approximate_message_count
    read_only(world, False)
    world.compose()
    assert delivered(world, message, 1) == "acknowledged"
    assert (later, len(world.rows("t")), world.runs("t")[0]["status"]) == (2, 5, "success")


def test_slice_in_the_middle_of_its_work_survives_a_failover(world: World) -> None:
    """The server stops taking writes between claim and commit: neither the chunk nor the back-off can be written."""
    world.tick()
    message = world.queue.receive_message(visibility_timeout=600)

    def fail_over(request: Any) -> None:
        if "/data/" in request.path:
            read_only(world, True)
            world.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tributary'"
                      " AND datname = current_database()")  # fmt: skip

    world.erp.on_request = fail_over
    assert delivered(world, message, 1).startswith("target_")
    world.erp.on_request = lambda request: None
    read_only(world, False)
    world.compose()
    assert delivered(world, message, 2) == "acknowledged"
    world.pump()
    assert (len(world.rows("t")), world.runs("t")[0]["status"]) == (5, "success")


def test_health_and_detection_say_what_is_wrong(world: World) -> None:
    read_only(world, True)
    world.compose(migrate_on_start=False)
    with pytest.raises(TargetUnavailableError, match="takes no writes") as caught:
        world.app.detect_changes()
    assert (caught.value.code, "primary" in caught.value.hint) == ("target_read_only", True)
    read_only(world, False)


def test_schedule_that_cannot_be_stored_says_what_is_wrong_with_the_server(world: World) -> None:
    body = {"entity_uid": world.uid("t")}
    read_only(world, True)
    world.compose(migrate_on_start=False)
    answer = world.ask("POST", "/api/v1/schedules", body)
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:tributary:target_read_only"), answer.text
    read_only(world, False)


def test_full_disk_backs_off_and_the_table_goes_on_when_there_is_room(world: World) -> None:
    world.sql("CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS"
              " $$ BEGIN RAISE EXCEPTION 'canary' USING ERRCODE = '53100'; END $$")  # fmt: skip
    world.sql(
        "CREATE TRIGGER full_disk BEFORE INSERT ON public.t FOR EACH STATEMENT EXECUTE FUNCTION full_disk()"
    )
    world.compose(max_retries=0)
    [run] = world.sync()
    assert (run["status"], run["error"]["code"], "canary" in str(run)) == (
        "failed",
        "target_disk_full",
        False,
    )
    world.sql("DROP TRIGGER full_disk ON public.t")
    [again] = world.sync()
    assert (again["status"], len(world.rows("t"))) == ("success", 5)


@pytest.fixture
def tight(database: str) -> Iterator[Database]:
    """A role that may hold one connection."""
    parts: dict[str, Any] = conninfo_to_dict(database)
    role = f"tight_{parts['dbname']}"
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'p' CONNECTION LIMIT 1")  # type: ignore[arg-type]
        server = Server(parts["host"], int(parts["port"]), parts["dbname"], role, lambda: "p")
        made = Database(server)
        yield made
        made.close()
        admin.execute(f"DROP ROLE {role}")  # type: ignore[arg-type]


def test_connection_limit_is_named_and_passes_when_one_is_free(tight: Database) -> None:
    first = Database(tight.server)
    with first.connection() as held:
        held.execute("SELECT 1")
        with pytest.raises(TargetUnavailableError, match="no connection free") as caught, tight.connection():
            pass
    first.close()
    assert caught.value.code == "target_connections"
    with tight.connection() as connection:
        connection.execute("SELECT 1")


def test_wrong_password_is_told_from_a_server_that_is_down(tight: Database) -> None:
    wrong = Database(
        Server(
            tight.server.host, tight.server.port, tight.server.database, tight.server.user, lambda: "canary"
        )
    )
    assert wrong.why_not() in ("credentials", "")
    assert translate(psycopg.errors.DiskFull("canary"), "s").code == "target_disk_full"


def vaulted(world: World, **more: Any) -> tuple[FakeVault, list[float]]:
    """The world's secrets in a vault behind the cache; the vault and the cache's clock."""
    vault, now = FakeVault(erp_token=world.erp.credentials.static_token, **more), [0.0]
    world.app.secrets = CachedVault(vault, ttl_s=900, clock=lambda: now[0])  # type: ignore[assignment]
    return vault, now


def test_secret_rotated_between_pages_is_reloaded_once_and_the_page_repeated(world: World) -> None:
    """T71"""
    vault, _ = vaulted(world)
    world.tick()
    vault.rotate(erp_token="stale")
    world.app.secrets.reload("erp-token")
    vault.rotate(erp_token=world.erp.credentials.static_token)
    vault.reads = 0
    world.pump()
    assert (world.runs("t")[0]["status"], vault.reads) == ("success", 1)


def test_throttled_vault_stops_nobody_who_has_read_before(world: World) -> None:
    """T71"""
    vault, now = vaulted(world)
    world.sync()
    vault.throttled, now[0] = True, 10_000.0
    world.erp.update("t", {"id": 1}, {"note": "new"})
    runs = world.sync()
    assert [run["status"] for run in runs] == ["success"] and world.rows("t")[1]["note"] == "new"


def test_secret_refused_twice_fails_and_is_read_no_third_time(world: World) -> None:
    """T71"""
    vault, _ = vaulted(world)
    vault.rotate(erp_token="canary-wrong")
    run = world.sync_now("t")
    assert (run["status"], run["error"]["code"], vault.reads) == ("failed", "source_refused", 2)
    assert "canary" not in json.dumps(run)

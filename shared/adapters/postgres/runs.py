"""Runs: created with a frozen configuration, stopped, listed."""

import base64
from collections.abc import Callable, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import psycopg
from psycopg import errors as pg
from psycopg.types.json import Jsonb
from psycopg_pool import PoolTimeout

from shared.adapters.postgres.database import Connection, Database, translate
from shared.adapters.postgres.outbox import admit
from shared.adapters.postgres.slices import Slices, frozen
from shared.adapters.postgres.views import RunError, RunView
from shared.errors import ConflictError, InvalidError, NotFoundError
from shared.sql import query
from shared.sync.model import RunConfig

Freeze = Callable[[Connection, UUID, int, str], RunConfig]
Also = Callable[[Connection, UUID, int], None]  # the run's uid and generation
_PURGE, _PURGES = 2_000, 20  # runs a transaction, transactions a call
_VIEW = tuple(f.name for f in fields(RunView))


class Runs:
    """Runs in PostgreSQL. `freeze` reads an entity's configuration inside the creating transaction."""

    def __init__(
        self,
        database: Database,
        slices: Slices,
        freeze: Freeze,
        *,
        default_limit: int,
        uuid7: Callable[[], UUID],
    ) -> None:
        self._database, self._schema, self._slices = database, database.schema, slices
        self._freeze, self._default_limit, self._uuid7 = freeze, default_limit, uuid7

    def create(
        self,
        entity_uid: UUID,
        *,
        purpose: Literal["delta", "sweep", "refresh", "window", "backfill", "rehash", "verify", "retry"],
        trigger: Literal["timer", "manual", "window", "retry"],
        requested_by: str,
        allow_deletes: int | None = None,
        reason: str | None = None,
        also: Also | None = None,
    ) -> UUID:
        """Create a run with its first slice, and admit it if its connector has a free slot.

        A refresh opens a new generation and ends every unfinished run of the entity in the same transaction.
        `also` does what else belongs to it, once the rows stand.
        Raises NotFoundError, or ConflictError when the entity's lane has a run in flight.
        """
        try:
            with self._database.bare_connection() as connection:
                return self._create(connection, entity_uid, purpose, {
                    "trigger": trigger, "requested_by": requested_by,
                    "allow_deletes": allow_deletes, "reason": reason,
                }, also)  # fmt: skip
        except pg.UniqueViolation:
            raise ConflictError(
                f"entity {entity_uid}: a run is in flight already", hint="wait for it, or stop it first"
            ) from None
        except (psycopg.Error, PoolTimeout) as error:
            raise translate(error, self._database.server.name) from None

    def _create(
        self,
        connection: Connection,
        entity_uid: UUID,
        purpose: str,
        asked: dict[str, Any],
        also: Also | None = None,
    ) -> UUID:
        names = {"entity": entity_uid, "default_limit": self._default_limit}
        entity = connection.execute(query("run_entity", self._schema), names).fetchone()
        state = connection.execute(query("run_state", self._schema), names).fetchone()
        if entity is None or state is None:
            raise NotFoundError(f"entity {entity_uid}: not found")
        if state["rehash"] is not None and purpose != "rehash":
            raise ConflictError(
                f"entity {entity_uid}: its stored rows are being hashed anew ({state['rehash']})",
                hint="wait for that run; GET /api/v1/entities/{uid}/runs shows how far it is",
            )
        purpose, generation, config = self._configured(
            connection, entity_uid, purpose, asked, state["generation"]
        )
        run_uid = self._uuid7()
        run = {
            "uid": run_uid,
            "entity": entity_uid,
            "connector": entity["connector_uid"],
            "lane": "delta" if purpose in ("delta", "retry") else "bulk",
            "purpose": purpose,
            "strategy": config.strategy,
            "generation": generation,
            "config": frozen(config),
            "watermark": state["watermark"] if config.strategy == "rowversion" else None,
            "waits_for": _parents_first(config) if purpose == "delta" else [],
        }
        self._insert(connection, run | asked)
        if also is not None:
            also(connection, run_uid, generation)
        if asked["allow_deletes"] is not None:
            self._audit(connection, asked["requested_by"], "allow_deletes", str(run_uid), asked)
        admit(connection, self._schema, entity["connector_uid"], entity["limit_of_connector"])
        return run_uid

    def _configured(
        self, connection: Connection, entity_uid: UUID, purpose: str, asked: dict[str, Any], generation: int
    ) -> tuple[str, int, RunConfig]:
        """What the run is for after all, and the generation and configuration that it keeps."""
        if purpose == "refresh":
            generation = self._open_generation(connection, entity_uid, asked["requested_by"])
        config = self._freeze(connection, entity_uid, generation, purpose)
        if purpose == "delta" and config.strategy == "rowversion" and asked["allow_deletes"] is not None:
            # A delta by row version never deletes: what is allowed must reach the pass that does.
            purpose = "sweep"
            config = self._freeze(connection, entity_uid, generation, purpose)
        return purpose, generation, config

    def _insert(self, connection: Connection, run: dict[str, Any]) -> None:
        """The run with its first slice; a backfill goes on where one before it ended."""
        connection.execute(query("run_insert", self._schema), run)
        first = {
            "run": run["uid"],
            "slice": 0,
            "connector": run["connector"],
            "kind": "retry" if run["purpose"] == "retry" else "walk",
            "admitted": False,
        }
        connection.execute(query("slice_insert", self._schema), first)
        if run["purpose"] == "backfill":
            connection.execute(query("backfill_resume", self._schema), {"run": run["uid"]})

    def create_in(
        self, connection: Connection, entity_uid: UUID, purpose: str, asked: dict[str, Any]
    ) -> UUID:
        """The same inside the caller's transaction, which holds the connector's lock; the database's errors stay."""
        return self._create(connection, entity_uid, purpose, {"allow_deletes": None, "reason": None} | asked)

    def _open_generation(self, connection: Connection, entity_uid: UUID, actor: str) -> int:
        row = connection.execute(query("generation_open", self._schema), {"entity": entity_uid}).fetchone()
        assert row is not None
        unfinished = connection.execute(
            query("runs_unfinished", self._schema), {"entity": entity_uid}
        ).fetchall()
        self._cancel(connection, [r["uid"] for r in unfinished], "refreshed", "a full refresh took over")
        self._audit(connection, actor, "full_refresh", str(entity_uid), {})
        generation: int = row["generation"]
        return generation

    def stop(self, run_uid: UUID, requested_by: str) -> None:
        """Cancel a run: whoever works on it is fenced at the next commit. A finished run stays as it is."""
        with self._database.connection() as connection:
            row = connection.execute(query("run_connector", self._schema), {"run": run_uid}).fetchone()
            if row is None:
                raise NotFoundError(f"run {run_uid}: not found")
            connection.execute(
                query("connector_lock", self._schema), {"connector": row["connector_uid"], "default_limit": 1}
            )
            self._cancel(connection, [run_uid], "stopped", f"stopped by {requested_by}")
            self._audit(connection, requested_by, "stop", str(run_uid), {})
            self._slices.admit_connector(connection, row["connector_uid"])

    def purge(self, days: int) -> int:
        """Forget ended runs, with their slices and verifications, that are older than so many days; how many.

        A bounded part of them a call: timers call again.
        """
        total = 0
        for _ in range(_PURGES):
            with self._database.connection() as connection:
                values = {"days": days, "limit": _PURGE}
                gone = connection.execute(query("runs_purge", self._schema), values).rowcount
            total += gone
            if gone < _PURGE:
                break
        return total

    def _cancel(self, connection: Connection, runs: Sequence[UUID], code: str, message: str) -> None:
        error = Jsonb({"code": code, "message": message, "hint": ""})
        connection.execute(query("runs_cancel", self._schema), {"runs": list(runs), "error": error})

    def _audit(
        self, connection: Connection, actor: str, action: str, subject: str, details: dict[str, Any]
    ) -> None:
        row = {"actor": actor, "action": action, "subject": subject, "details": Jsonb(details)}
        connection.execute(query("audit_insert", self._schema), row)

    def get(self, run_uid: UUID, *, tenants: Sequence[str] | None = None) -> RunView | None:
        """One run, or None where it isn't there or not in these tenants."""
        found, _ = self.history(run_uid=run_uid, tenants=tenants, limit=1)
        return found[0] if found else None

    def history(
        self,
        *,
        run_uid: UUID | None = None,
        entity_uid: UUID | None = None,
        connector_uid: UUID | None = None,
        status: str | None = None,
        tenants: Sequence[str] | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> tuple[list[RunView], str | None]:
        """Runs, newest first, and the cursor of the next page; raises InvalidError for a forged cursor."""
        before_at, before_uid = _read_cursor(cursor)
        with self._database.connection() as connection:
            rows = connection.execute(
                query("runs_select", self._schema),
                {
                    "run": run_uid, "entity": entity_uid, "connector": connector_uid, "status": status,
                    "tenants": None if tenants is None else list(tenants), "limit": limit + 1,
                    "before_at": before_at, "before_uid": before_uid,
                },
            ).fetchall()  # fmt: skip
        last = rows[limit - 1] if len(rows) > limit else None
        following = None if last is None else _write_cursor(last["created_at"], last["uid"])
        return [_view(row) for row in rows[:limit]], following


def _view(row: dict[str, Any]) -> RunView:
    return RunView(**{name: row[name] for name in _VIEW} | {"error": RunError.told(row["error"])})


def _parents_first(config: RunConfig) -> list[UUID]:
    return [UUID(parent.entity_uid) for parent in config.parents if parent.goes_first]


def _write_cursor(at: datetime, uid: UUID) -> str:
    return base64.urlsafe_b64encode(f"{at.isoformat()}|{uid}".encode()).decode()


def _read_cursor(cursor: str | None) -> tuple[datetime | None, UUID | None]:
    if cursor is None:
        return None, None
    try:
        at, uid = base64.b64decode(cursor, altchars=b"-_", validate=True).decode().split("|")
        return datetime.fromisoformat(at), UUID(uid)
    except ValueError:
        raise InvalidError("cursor: not one of ours", [("cursor", "take it from next_cursor")]) from None

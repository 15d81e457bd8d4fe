"""The life of slices: claimed, released, ended; and the connector's slots that admit them.

Every statement here follows one order of locks: connector, entity state, slice.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg import errors as pg
from psycopg import sql
from psycopg.types.json import Jsonb

from shared.adapters.postgres.database import Connection, Database
from shared.adapters.postgres.holding import prepare
from shared.adapters.postgres.masks import Seal, as_it_is
from shared.adapters.postgres.outbox import admit, post
from shared.adapters.postgres.pacing import Pacing
from shared.adapters.postgres.statements import Statements
from shared.errors import AppError, FencedError
from shared.failpoints import hit
from shared.sql import query
from shared.sync.claims import (
    ClaimAnswer,
    Decision,
    Ignore,
    SliceState,
    Take,
    backoff_s,
    decide_claim,
)
from shared.sync.model import RunConfig
from shared.sync.ports import Claim, Counters, Ending, Night

# host.json's maxDequeueCount: a holder of that delivery is dead once its message is poison, whatever its lease says.
MAX_DEQUEUES = 5
_STATE_FIELDS = tuple(f.name for f in fields(SliceState))
_MADE_HERE = {
    "epoch",
    "config",
    "watermark",
    "first_load",
    "new_target",
    "pass_uid",
    "clock_ahead_s",
    "last_probe",
    "may_hold",
    "night",
}
_CLAIM_COLUMNS = tuple(f.name for f in fields(Claim) if f.name not in _MADE_HERE)


@dataclass(frozen=True, slots=True)
class Retry:
    """How transient failures come back: `attempts` retries in a row, the first after `base_s`, doubling up to `cap_s`.

    A committed chunk ends the row: a run of many hours may fail now and then, as long as it gets on in between.
    """

    attempts: int
    base_s: int
    cap_s: int


class Slices:
    """Slices of all runs. `lease_s` is never below the function timeout; `default_limit` counts slots a connector."""

    def __init__(
        self,
        database: Database,
        *,
        lease_s: int,
        default_limit: int,
        retry: Retry,
        decide: Callable[..., Decision] = decide_claim,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        wake: Callable[[Connection, UUID], None] = lambda _connection, _connector: None,
        seal: Seal = as_it_is,
        pacing: Pacing | None = None,
    ) -> None:
        """`wake` creates the retry runs that the end of a run made due, in the ending transaction."""
        self._database, self._schema, self._decide, self._now = database, database.schema, decide, now
        self._seal = seal
        self._lease_s, self._default_limit, self._retry = lease_s, default_limit, retry
        self._wake, self._pacing = wake, pacing

    def claim(self, run_uid: UUID, slice_: int, message_id: str, dequeue_count: int) -> ClaimAnswer:
        """Claim the slice a message names, or say why not; a slice without a slot first tries to get one."""
        hit("claim.before")
        names = {"run": run_uid, "slice": slice_}
        with self._database.connection() as connection:
            row = connection.execute(query("slice_claimable", self._schema), names).fetchone()
            if row is None:
                return Ignore("no such slice, or another delivery is at it")
            state = SliceState(**{name: row[name] for name in _STATE_FIELDS})
            decision = self._decide(state, message_id, dequeue_count, row["now"])
            if isinstance(decision, Take):
                answer: ClaimAnswer = self._take(connection, row, message_id, dequeue_count)
            else:
                if isinstance(decision, Ignore) and decision.give_back:
                    self._release(connection, names, admitted=False, delay_s=0)
                answer = decision
        hit("claim.after")
        return answer

    def _take(
        self, connection: Connection, row: dict[str, Any], message_id: str, dequeue_count: int
    ) -> Claim:
        names = {"run": row["run_uid"], "slice": row["slice"]}
        config = msgspec.convert(row["config"], RunConfig)
        statements = Statements(config, self._schema, row["run_uid"])
        taken = names | {"message_id": message_id, "dequeue_count": dequeue_count, "lease_s": self._lease_s}
        connection.execute(query("slice_take", self._schema), taken)
        empty = row["target_was_empty"]
        if empty is None:
            empty = _is_empty(connection, statements)
        connection.execute(query("run_started", self._schema), names | {"empty": empty})
        # These never know what is absent now: they don't delete, whatever they meet or miss.
        deletes = row["purpose"] not in ("window", "backfill", "rehash", "verify", "retry")
        snapshot = config.strategy == "full" and row["purpose"] != "verify"
        retries = row["kind"] == "retry"
        may_hold = self._prepare_holding(connection, statements)
        writes_seen = not retries and (snapshot or (config.strategy == "hash" and not empty and deletes))
        if row["pass_began"] is None and writes_seen:
            row = row | {"pass_began": self._begin_pass(connection, statements, config)}
        if row["pass_began"] is None and config.strategy == "hash" and not retries:
            # A first load has no pass, but must know its own rows when a key comes twice.
            row = row | {"pass_began": row["started_at"] or row["now"]}
        # How far PostgreSQL's clock is ahead of ours: the only use of ours, which may be wrong by any amount.
        ahead_s = (row["now"] - self._now()).total_seconds()
        claim = _claim(row, config, empty=empty, writes_seen=writes_seen, ahead_s=ahead_s)
        return replace(claim, may_hold=may_hold, first_load=claim.first_load and not retries)

    def _prepare_holding(self, connection: Connection, statements: Statements) -> bool:
        connection.execute("SELECT set_config('lock_timeout', '10s', true)")
        return prepare(connection, statements)

    def _begin_pass(self, connection: Connection, statements: Statements, config: RunConfig) -> datetime:
        """A partition of its own for the keys this pass sees; dropping it later costs nothing."""
        connection.execute("SELECT set_config('lock_timeout', '10s', true)")
        connection.execute(
            sql.SQL("CREATE TABLE {} PARTITION OF {} FOR VALUES IN ({})").format(
                statements.seen,
                sql.Identifier(self._schema, "seen_keys"),
                sql.Literal(str(statements.run_uid)),
            )
        )
        connection.execute(
            sql.SQL("ALTER TABLE {} ALTER entity_uid SET DEFAULT {}, ALTER pass_uid SET DEFAULT {}").format(
                statements.seen, sql.Literal(config.entity_uid), sql.Literal(str(statements.run_uid))
            )
        )
        ids = {"run": statements.run_uid, "entity": config.entity_uid, "generation": config.generation}
        row = connection.execute(query("pass_begin", self._schema), ids).fetchone()
        assert row is not None
        began: datetime = row["began_at"]
        return began

    def admit(self, run_uid: UUID) -> None:
        """Fill the free slots of the run's connector."""
        with self._database.connection() as connection:
            held = connection.execute(query("run_connector", self._schema), {"run": run_uid}).fetchone()
            if held is not None:
                self.admit_connector(connection, held["connector_uid"])

    def admit_connector(self, connection: Connection, connector_uid: UUID) -> None:
        """Fill a connector's free slots inside the caller's transaction, under the connector's row lock."""
        names = {"connector": connector_uid, "default_limit": self._default_limit}
        row = connection.execute(query("connector_lock", self._schema), names).fetchone()
        if row is not None:
            admit(connection, self._schema, connector_uid, row["limit_of_connector"])

    def continue_later(self, claim: Claim) -> None:
        """Hand the slice to its continuation, with its message in the outbox.

        A delta keeps its slot. A bulk slice asks for one anew, behind the deltas of other tables that wait for it.
        """
        hit("continuation.before")
        names = {"run": claim.run_uid, "slice": claim.slice}
        with self._database.connection() as connection:
            held = self._hold(connection, claim)
            keeps = claim.lane == "delta"
            self._release(connection, names, admitted=keeps, delay_s=0)
            if keeps:
                post(connection, self._schema, names, 0)
            else:
                self._fill_slots(connection, held)
        hit("continuation.after")

    def back_off(self, claim: Claim, error: AppError, wish_s: float | None) -> bool:
        """Queue the slice again after a transient failure; false when its retries in a row are used up."""
        names = {"run": claim.run_uid, "slice": claim.slice}
        with self._database.connection() as connection:
            held = self._hold(connection, claim)
            return self._back_off(connection, held, names, wish_s)

    def _back_off(
        self, connection: Connection, held: dict[str, Any], names: dict[str, Any], wish_s: float | None
    ) -> bool:
        failures = held["failures"] + 1
        if failures > self._retry.attempts:
            return False
        delay = backoff_s(failures, self._retry.base_s, self._retry.cap_s, wish_s)
        self._release(connection, names, admitted=False, delay_s=delay, failed=1)
        post(connection, self._schema, names, delay)
        self._fill_slots(connection, held)
        return True

    def totals(self, claim: Claim) -> Counters:
        """What the run's slices have counted so far: fetched, rejected and held rows."""
        with self._database.connection() as connection:
            row = connection.execute(query("run_totals", self._schema), {"run": claim.run_uid}).fetchone()
        return Counters(**row) if row else Counters()

    def split(self, claim: Claim, cursors: Sequence[Mapping[str, Any]]) -> None:
        """Give the slice the first cursor and each of the others a slice of its own, as slots allow."""
        hit("continuation.before")
        with self._database.connection() as connection:
            held = self._hold(connection, claim)
            for number, cursor in enumerate(cursors):
                sealed = Jsonb(dict(self._seal(cursor, claim.config)))
                part = {"run": claim.run_uid, "slice": claim.slice + number, "cursor": sealed}
                if number:
                    made = {"connector": held["connector_uid"], "kind": "walk", "admitted": False}
                    connection.execute(query("slice_insert", self._schema), part | made)
                connection.execute(query("slice_cursor", self._schema), part)
            self._fill_slots(connection, held)
        hit("continuation.after")

    def end_part(self, claim: Claim) -> None:
        """End a slice whose part is read. Under the connector's lock exactly one of a run finds itself the last."""
        hit("continuation.before")
        names = {"run": claim.run_uid, "slice": claim.slice}
        with self._database.connection() as connection:
            held = self._hold(connection, claim)
            connection.execute(query("slice_end", self._schema), names | {"status": "done"})
            row = connection.execute(query("slices_left", self._schema), names).fetchone()
            assert row is not None, "an aggregate answers one row"
            if row["unfinished"] == 0:
                self._follow(connection, claim.run_uid, row["slices"], "conclude", held["connector_uid"])
            self._fill_slots(connection, held)
        hit("continuation.after")

    def _follow(
        self, connection: Connection, run_uid: UUID, slice_: int, kind: str, connector_uid: UUID
    ) -> None:
        """Queue a slice that goes on where others ended, in their slot."""
        names = {"run": run_uid, "slice": slice_}
        made = names | {"connector": connector_uid, "kind": kind, "admitted": True}
        connection.execute(query("slice_insert", self._schema), made)
        post(connection, self._schema, names, 0)

    def begin_publish(self, claim: Claim) -> None:
        """End a snapshot's walk and queue its publication as a slice of its own, which keeps the slot."""
        hit("continuation.before")
        with self._database.connection() as connection:
            held = self._hold(connection, claim)
            names = {"run": claim.run_uid, "slice": claim.slice}
            connection.execute(query("slice_end", self._schema), names | {"status": "done"})
            self._follow(connection, claim.run_uid, claim.slice + 1, "publish", held["connector_uid"])
        hit("continuation.after")

    def end(self, claim: Claim, ending: Ending) -> None:
        """End the run: its outcome, the entity's state, the slot for the next in line; all or nothing."""
        hit("finish.before")
        with self._database.connection() as connection:
            held = self._hold(connection, claim)
            if claim.may_hold and claim.kind != "retry":
                # Rows that wait for each other: nothing else will ever arrive for them.
                ids = {"entity": claim.config.entity_uid, "run": claim.run_uid}
                connection.execute(query("awaited_circles", self._schema), ids)
            self._end(connection, held, claim.run_uid, claim.slice, ending)
            learned = self._pacing.ended(connection, claim, ending) if self._pacing else ()
            self._drop_work_tables(connection, claim)
        if self._pacing:
            self._pacing.tell(learned)
        hit("finish.after")

    def _end(
        self, connection: Connection, held: dict[str, Any], run_uid: UUID, slice_: int, ending: Ending
    ) -> None:
        ending = self._judged(connection, run_uid, ending)
        error = None if ending.error is None else error_body(ending.error)
        parameters = {
            "run": run_uid,
            "slice": slice_,
            "status": ending.status,
            "error": None if error is None else Jsonb(error),
            "watermark": ending.watermark,
            "bound": ending.bound,
            "probe": None if ending.probe is None else Jsonb(dict(ending.probe)),
            "proven": ending.proven,
            "swept": ending.swept,
            "filled": ending.filled,
            "unproven_snapshots": ending.unproven_snapshots,
            "changed": Jsonb(dict(ending.changed)),
            "ignored": Jsonb(list(ending.ignored)),
        }
        left = "state_after_night" if ending.night == "goes_on" else "state_after_run"
        if held["purpose"] != "retry":
            # A retry asked the source nothing: what the last sync left behind still stands.
            connection.execute(query(left, self._schema), parameters)
        connection.execute(query("run_end", self._schema), parameters)
        slice_status = "failed" if ending.status == "failed" else "done"
        connection.execute(query("slice_end", self._schema), parameters | {"status": slice_status})
        connection.execute(query("slices_abandon", self._schema), parameters)
        if ending.night in ("finished", "again"):
            finished = {"finished": ending.night == "finished", "trouble": parameters["error"]}
            connection.execute(query("schedule_finish", self._schema), {"run": run_uid} | finished)
        self._wake(connection, held["connector_uid"])
        self._fill_slots(connection, held)

    def _judged(self, connection: Connection, run_uid: UUID, ending: Ending) -> Ending:
        """A run with rows that were rejected or held is partial, however well the rest went."""
        totals = connection.execute(query("run_totals", self._schema), {"run": run_uid}).fetchone()
        lacks = totals is not None and totals["rejected"] + totals["held"] > 0
        return replace(ending, status="partial") if lacks and ending.status == "success" else ending

    def _fill_slots(self, connection: Connection, held: dict[str, Any]) -> None:
        admit(connection, self._schema, held["connector_uid"], held["limit_of_connector"])

    def poisoned(self, run_uid: UUID, slice_: int, evidence: AppError) -> str:
        """What to do about a slice whose message died: again with backoff, or fail the run; never if it lives on."""
        names = {"run": run_uid, "slice": slice_}
        with self._database.connection() as connection:
            held = connection.execute(
                query("slice_hold", self._schema), names | {"default_limit": self._default_limit}
            ).fetchone()
            if (
                held is None
                or held["run_status"] not in ("queued", "running")
                or held["status"] not in ("queued", "running")
            ):
                return "nothing left to do"
            lives = held["lease_until"] is not None and held["lease_until"] > held["now"]
            if lives and held["dequeue_count"] < MAX_DEQUEUES:
                return "another delivery is at work"
            if self._back_off(connection, held, names, None):
                return "queued again"
            self._end(connection, held, run_uid, slice_, Ending("failed", evidence))
            return "run failed"

    def _release(
        self, connection: Connection, names: dict[str, Any], *, admitted: bool, delay_s: int, failed: int = 0
    ) -> None:
        connection.execute(
            query("slice_release", self._schema),
            names | {"admitted": admitted, "delay_s": delay_s, "failed": failed},
        )

    def _hold(self, connection: Connection, claim: Claim) -> dict[str, Any]:
        """Lock what the slice belongs to, in order; FencedError unless the claim still stands.

        A slice that is no longer running was settled by a COMMIT whose answer got lost: it must not be settled again.
        """
        held = connection.execute(
            query("slice_hold", self._schema),
            {"run": claim.run_uid, "slice": claim.slice, "default_limit": self._default_limit},
        ).fetchone()
        stands = held is not None and held["epoch"] == claim.epoch and held["status"] == "running"
        if held is None or not stands or held["generation"] != claim.config.generation:
            raise FencedError(f"{claim.config.slug}: slice {claim.slice} belongs to another delivery now")
        return held

    def _drop_work_tables(self, connection: Connection, claim: Claim) -> None:
        """Drop them with the ending, but never let it wait for a reader of theirs: a tick drops what stays."""
        statements = Statements(claim.config, self._schema, claim.run_uid)
        with suppress(pg.LockNotAvailable), connection.transaction():
            connection.execute("SELECT set_config('lock_timeout', '1s', true)")
            for table in (statements.seen, statements.staging):
                connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(table))


def _claim(
    row: dict[str, Any], config: RunConfig, *, empty: bool, writes_seen: bool, ahead_s: float
) -> Claim:
    return Claim(
        **{name: row[name] for name in _CLAIM_COLUMNS},
        epoch=row["epoch"] + 1,
        config=config,
        watermark=row["watermark_start"],
        first_load=empty and config.strategy != "full",
        # Between two nights a table must have its indexes, so a background load never takes them down.
        new_target=empty and row["never_synced"] and row["night"] is None,
        pass_uid=row["run_uid"] if writes_seen else None,
        clock_ahead_s=ahead_s,
        last_probe=row["probe"],
        night=row["night"] and msgspec.convert(row["night"], Night),
    )


def error_body(error: AppError) -> dict[str, str]:
    """An error as a run shows it."""
    return {"code": error.code, "message": error.message, "hint": error.hint}


def _is_empty(connection: Connection, statements: Statements) -> bool:
    exists = connection.execute(
        "SELECT to_regclass(%s) AS t", (statements.target.as_string(connection),)
    ).fetchone()
    if exists is None or exists["t"] is None:
        return True  # a claim cannot end a run; the first chunk can, and says what is missing
    row = connection.execute(
        sql.SQL("SELECT NOT EXISTS (SELECT 1 FROM {}) AS empty").format(statements.target)
    ).fetchone()
    return bool(row and row["empty"])


def frozen(config: RunConfig) -> Jsonb:
    """A run's configuration as it is stored."""
    return Jsonb(msgspec.to_builtins(asdict(config)))

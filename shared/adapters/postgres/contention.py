"""Transactions that others stand in the way of: run again a few times, then refused by name."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from psycopg import errors as pg

from shared.adapters.postgres.database import Connection, Database, translate
from shared.errors import AppError, ConflictError, TargetUnavailableError

# A long reader must not make our ALTER queue everybody else behind it: give up quickly, try again.
LOCK_TIMEOUT_MS = 3000
_ATTEMPTS = 5
LOCKED = "target_locked"
_CONTENDED = (pg.LockNotAvailable, pg.DeadlockDetected, pg.SerializationFailure)
_T = TypeVar("_T")


class Persistent:
    """Runs a transaction again while another one stands in its way, a few times, with growing pauses."""

    def __init__(self, database: Database, pause: Callable[[float], None], lock_timeout_ms: int) -> None:
        self._database, self._pause, self._lock_timeout_ms = database, pause, lock_timeout_ms

    def __call__(self, work: Callable[[Connection], _T]) -> _T:
        """What `work` makes of its transaction; raises ConflictError or TargetUnavailableError where others prevail."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with self._transaction() as connection:
                    return work(connection)
            except pg.UniqueViolation as error:
                # Once: a rival that took the name has committed, so the second look decides.
                if attempt > 1:
                    raise _blocked(error) from None
            except _CONTENDED as error:
                if attempt == _ATTEMPTS:
                    raise _blocked(error) from None
                self._pause(0.2 * 2**attempt * random.uniform(0.5, 1.0))
            except pg.Error as error:
                raise translate(error, self._database.server.name) from None
        raise AssertionError("the loop above returns or raises")

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with self._database.bare_connection() as connection:
            connection.execute("SELECT set_config('lock_timeout', %s, true)", (f"{self._lock_timeout_ms}ms",))
            yield connection


def _blocked(error: Exception) -> AppError:
    if isinstance(error, pg.UniqueViolation):
        return ConflictError(
            "entity: its slug or its target table is taken by another entity",
            hint="choose another target_table, or PUT the entity that exists",
        )
    return TargetUnavailableError(
        f"target table: still locked by another session after {_ATTEMPTS} attempts ({type(error).__name__})",
        hint="look for long transactions in pg_stat_activity, then try again",
        code=LOCKED,
    )

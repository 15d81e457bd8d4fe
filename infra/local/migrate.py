"""`python -m infra.local.migrate`: bring the metadata schema up to date and say what was applied.

Where POSTGRES_HOST is set, the environment alone decides which database; otherwise it is the local stack's, whose
server is stopped again if it did not run before.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager

from infra.local.errors import LocalStackError
from infra.local.host.errors import HostError
from infra.local.ports import Ports
from infra.local.postgres import PostgresServer
from infra.local.stack import Stack
from shared.composition import App
from shared.errors import AppError
from shared.settings import load_settings


def main() -> int:
    """0 when the schema is up to date."""
    os.environ["MIGRATE_ON_START"] = "false"
    try:
        if os.environ.get("POSTGRES_HOST"):
            applied = _migrate()
        else:
            stack = Stack(Ports.from_environment(os.environ))
            os.environ.update(stack.environment | {"MIGRATE_ON_START": "false"})
            with serving(stack.postgres):
                applied = _migrate()
    except (AppError, HostError, LocalStackError) as error:
        print(f"migrate: {error}", file=sys.stderr)
        return 1
    print(f"applied: {', '.join(applied)}" if applied else "up to date")
    return 0


@contextmanager
def serving(server: PostgresServer) -> Iterator[None]:
    """The server runs inside; afterwards it is as it was found, running or not."""
    started = server.start()
    try:
        yield
    finally:
        if started:
            server.stop()


def _migrate() -> tuple[str, ...]:
    with closing(App(load_settings())) as app:
        return app.migrate()


if __name__ == "__main__":
    sys.exit(main())

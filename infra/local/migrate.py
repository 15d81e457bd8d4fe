"""`python -m infra.local.migrate`: bring the metadata schema up to date and say what was applied.

Where POSTGRES_HOST is set, the environment alone decides which database; otherwise it is the local stack's.
"""

import os
import sys

from infra.local.errors import LocalStackError
from infra.local.ports import Ports
from infra.local.stack import Stack
from shared.composition import App
from shared.errors import AppError
from shared.settings import load_settings


def main() -> int:
    """0 when the schema is up to date."""
    try:
        if not os.environ.get("POSTGRES_HOST"):
            stack = Stack(Ports.from_environment(os.environ))
            stack.postgres.start()
            os.environ.update(stack.environment)
        os.environ["MIGRATE_ON_START"] = "false"
        applied = App(load_settings()).migrate()
    except (AppError, LocalStackError) as error:
        print(f"migrate: {error}", file=sys.stderr)
        return 1
    print(f"applied: {', '.join(applied)}" if applied else "up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main())

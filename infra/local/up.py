"""`python -m infra.local.up`: the stack without the story, its addresses, and a token to try them with."""

import os
import sys

from infra.local import access
from infra.local.errors import LocalStackError
from infra.local.host.errors import HostError
from infra.local.ports import Ports
from infra.local.stack import Stack, up


def main() -> int:
    """0 when everything runs."""
    try:
        stack = Stack(Ports.from_environment(os.environ))
        up(stack)
    except (LocalStackError, HostError) as error:
        print(f"up: {error}", file=sys.stderr)
        return 1
    print(access.addresses(stack))
    print(f"\na token for twelve hours:\n{access.token(stack, 'make up')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

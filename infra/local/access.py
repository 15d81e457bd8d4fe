"""A bearer token for the local stack, and the addresses a person wants to know.

`python -m infra.local.access SUBJECT [ROLE ...]` prints a token for one more person; without roles, of
every right.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from infra.local.errors import LocalStackError
from infra.local.host.errors import HostError
from infra.local.ports import LOOPBACK, Ports
from infra.local.stack import Stack
from shared.adapters import tokens

ROLES = ("admin", "tenant:*")
TTL_S = 12 * 3600


def token(stack: Stack, subject: str, roles: Sequence[str] = ROLES) -> str:
    """A token for twelve hours, signed with this machine's secret; every right unless `roles` says less."""
    return tokens.sign_local_token(stack.environment["LOCAL_TOKEN_SECRET"], subject, roles, TTL_S)


def addresses(stack: Stack) -> str:
    """One line an address."""
    host = f"http://{LOOPBACK}:{stack.ports.host}"
    lines = {
        "API": f"{host}/api/v1",
        "Swagger UI": f"{host}/docs",
        **{part.name: part.url for part in stack.parts() if part.name != "host"},
        "logs": str(stack.base / "logs"),
    }
    return "\n".join(f"  {name:<11} {url}" for name, url in lines.items())


def main() -> int:
    """0 when a token was printed."""
    parser = argparse.ArgumentParser(prog="python -m infra.local.access", description=__doc__)
    parser.add_argument("subject", help="whose token it is, such as you@example.org")
    parser.add_argument(
        "role", nargs="*", type=_role, help=f"{', '.join(tokens.ROLES)}, tenant:NAME or tenant:*"
    )
    asked = parser.parse_args()
    try:
        print(token(Stack(Ports.from_environment(os.environ)), asked.subject, asked.role or ROLES))
    except (LocalStackError, HostError) as error:
        print(f"access: {error}", file=sys.stderr)
        return 1
    return 0


def _role(text: str) -> str:
    # The app passes over words it doesn't know: a slip would be refused much later, for no visible reason.
    if text not in tokens.ROLES and not (text.startswith("tenant:") and text != "tenant:"):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no role: give {', '.join(tokens.ROLES)} or tenant:NAME"
        )
    return text


if __name__ == "__main__":
    sys.exit(main())

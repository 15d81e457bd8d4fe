"""A bearer token for the local stack, and the addresses a person wants to know."""

from collections.abc import Sequence

from infra.local.ports import LOOPBACK
from infra.local.stack import Stack
from shared.adapters.tokens import sign_local_token

ROLES = ("admin", "tenant:*")
TTL_S = 12 * 3600


def token(stack: Stack, subject: str, roles: Sequence[str] = ROLES) -> str:
    """A token for twelve hours, signed with this machine's secret; every right unless `roles` says less."""
    return sign_local_token(stack.environment["LOCAL_TOKEN_SECRET"], subject, roles, TTL_S)


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

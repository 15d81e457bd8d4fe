"""`database_role.py`: the PostgreSQL role of the app's identity, made by an Entra administrator.

From the environment: DATABASE_HOST, DATABASE_NAME, DATABASE_USER (the administrator's name), DATABASE_TOKEN (an access
token of theirs) and APP_ROLE. Idempotent. The role administers nothing: it may create schemas in its own database and
tables in `public`.
"""

import os
import ssl
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import LiteralString

import psycopg
from psycopg import sql

PORT = 5432  # straight to the server: PgBouncer knows no role that is only being made
PRINCIPALS = "postgres"  # the one database that has pgaadauth_create_principal
_TIMEOUT_S = 15
_AUTHORITIES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
_GRANTS: tuple[LiteralString, ...] = (
    "GRANT CONNECT, CREATE, TEMPORARY ON DATABASE {database} TO {role}",
    "GRANT USAGE, CREATE ON SCHEMA public TO {role}",
)


def create_role(connection: psycopg.Connection, name: str) -> bool:
    """Make the Entra principal of this name a role, by a connection to PRINCIPALS; whether it is new."""
    if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,)).fetchone():
        return False
    connection.execute("SELECT pgaadauth_create_principal(%s, false, false)", (name,))
    return True


def grant(connection: psycopg.Connection, database: str, role: str) -> None:
    """Give the role its rights in `database`, by a connection to it."""
    names = {"database": sql.Identifier(database), "role": sql.Identifier(role)}
    for statement in _GRANTS:
        connection.execute(sql.SQL(statement).format(**names))


def main(environment: Mapping[str, str]) -> int:
    """0 when the role stands; else the server's words, without the token."""
    database, role = environment["DATABASE_NAME"], environment["APP_ROLE"]
    try:
        with _connected(environment, PRINCIPALS) as connection:
            created = create_role(connection, role)
        with _connected(environment, database) as connection:
            grant(connection, database, role)
    except psycopg.Error as error:
        print(f"PostgreSQL: {type(error).__name__}: {str(error).strip()}", file=sys.stderr)
        return 1
    print(f"    {role}: {'made' if created else 'there already'}", file=sys.stderr)
    return 0


def authorities() -> str:
    """Whom this machine trusts: psycopg's wheel looks for `system` where no machine keeps it."""
    known = (ssl.get_default_verify_paths().cafile, *_AUTHORITIES)
    return next((each for each in known if each and Path(each).is_file()), "system")


def _connected(environment: Mapping[str, str], database: str) -> psycopg.Connection:
    return psycopg.connect(
        host=environment["DATABASE_HOST"], port=int(environment.get("DATABASE_PORT", PORT)), dbname=database,
        user=environment["DATABASE_USER"], password=environment["DATABASE_TOKEN"],
        sslmode=environment.get("DATABASE_SSLMODE", "verify-full"), sslrootcert=authorities(),
        connect_timeout=_TIMEOUT_S,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(os.environ))

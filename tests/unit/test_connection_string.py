"""Connection strings of the share packs' database: read in each form, refused without a word of what stands in them."""

import pytest

from shared.adapters.postgres.database import server_of
from shared.errors import ConfigurationError


@pytest.mark.parametrize(
    "told",
    [
        "postgresql://ada:p%40ss@db.example.org:6432/packs",
        "postgres://ada:p%40ss@db.example.org:6432/packs",
        "postgresql+psycopg2://ada:p%40ss@db.example.org:6432/packs",
        "  host=db.example.org port=6432 dbname=packs user=ada password='p@ss' ",
    ],
)
def test_every_form_names_the_same_server(told: str) -> None:
    server = server_of(told, "DOMAIN_DB_CONNECTION_STRING", "/ca.pem")
    assert server.name == "PostgreSQL db.example.org:6432/packs"
    assert (server.user, server.password(), server.sslmode, server.sslrootcert) == (
        "ada",
        "p@ss",
        "verify-full",
        "/ca.pem",
    )


def test_what_is_left_out_and_what_is_said() -> None:
    server = server_of("host=127.0.0.1 dbname=d user=u", "X")
    assert (server.port, server.password(), server.sslmode, server.sslrootcert) == (
        5432,
        None,
        "prefer",
        None,
    )
    assert server_of("postgresql://u@h/d?sslmode=require", "X").sslmode == "require"


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("CANARY", "no connection string"),
        ("Server=CANARY;Database=d", "no connection string|cannot be set"),
        ("host=h dbname=d user=u password=CANARY port=CANARY", "one host and one port"),
        ("host=h,i dbname=d user=u password=CANARY", "one host and one port"),
        ("host=h user=u password=CANARY", "lacks dbname"),
        ("postgresql://:CANARY@/", "lacks dbname, host, user"),
        ("host=h dbname=d user=u password=CANARY options='-c x=y'", "options cannot be set here"),
    ],
)
def test_refusals_name_the_setting_and_never_its_value(told: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^DOMAIN_DB_CONNECTION_STRING: .*({said})") as refused:
        server_of(told, "DOMAIN_DB_CONNECTION_STRING")
    assert "CANARY" not in f"{refused.value}{refused.value.hint}"

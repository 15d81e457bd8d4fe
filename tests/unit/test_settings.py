"""A missing or malformed setting is one clear error that names it and shows no value."""

import pytest

from shared.errors import ConfigurationError
from shared.settings import Settings, load_settings

NEEDED = {"POSTGRES_HOST": "127.0.0.1", "POSTGRES_DB": "d", "POSTGRES_USER": "u"}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in NEEDED.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


@pytest.mark.parametrize("missing", NEEDED)
def test_missing_setting_is_named(environment: pytest.MonkeyPatch, missing: str) -> None:
    environment.delenv(missing)
    with pytest.raises(ConfigurationError, match=missing) as refused:
        load_settings()
    assert "local.settings.json" in refused.value.hint


def test_every_missing_setting_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load_settings()
    assert all(name in refused.value.message for name in NEEDED)


@pytest.mark.parametrize(
    ("name", "value"),
    [("POSTGRES_PORT", "canary"), ("POSTGRES_PORT", "70000"), ("DETECT_CONCURRENCY", "21"), ("LOG_LEVEL", "canary"),
     ("MIGRATE_ON_START", "canary"), ("POSTGRES_SCHEMA", 'canary"; DROP'), ("SLICE_BUDGET_SECONDS", "0"),
     ("AUTH_MODE", "canary"), ("POSTGRES_SSLMODE", "canary"), ("MAX_RETRIES", "-1")],
)  # fmt: skip
def test_malformed_setting_is_named_and_its_value_is_not_shown(
    environment: pytest.MonkeyPatch, name: str, value: str
) -> None:
    environment.setenv(name, value)
    with pytest.raises(ConfigurationError, match=name) as refused:
        load_settings()
    assert "canary" not in str(refused.value) and refused.value.__cause__ is None


def test_secrets_show_in_no_text(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("POSTGRES_PASSWORD", "canary")
    environment.setenv("LOCAL_TOKEN_SECRET", "canary")
    settings = load_settings()
    assert "canary" not in repr(settings) + str(settings)


def test_blank_setting_is_as_good_as_none(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("POSTGRES_PORT", "")
    assert load_settings().postgres_port == 5432


@pytest.mark.parametrize(
    ("host", "told", "mode"),
    [("127.0.0.1", None, "prefer"), ("localhost", None, "prefer"), ("db.example.com", None, "verify-full"),
     ("db.example.com", "require", "require")],
)  # fmt: skip
def test_tls_is_verified_unless_the_server_is_this_machine(
    environment: pytest.MonkeyPatch, host: str, told: str | None, mode: str
) -> None:
    environment.setenv("POSTGRES_HOST", host)
    if told:
        environment.setenv("POSTGRES_SSLMODE", told)
    assert load_settings().sslmode == mode


def test_connector_hosts_are_a_list_in_lower_case(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("CONNECTOR_HOSTS", " ERP.example.com, ,b")
    assert load_settings().allowed_connector_hosts == ("erp.example.com", "b")


def test_settings_are_frozen(environment: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().log_level = "DEBUG"  # type: ignore[call-arg,misc]

"""Secrets: where names find values, and how often a vault is asked."""

from pathlib import Path

import pytest

from shared.errors import ConfigurationError
from shared.secrets import CachedVault, DirectoryVault, EnvironmentSecrets
from tests.fakes_vault import FakeVault


def test_environment_finds_the_name_as_a_variable() -> None:
    assert EnvironmentSecrets({"ERP_TOKEN": "t"}).get("erp-token") == "t"


@pytest.mark.parametrize("name", ["POSTGRES-PASSWORD", "postgres-password", "no-such", "../x", "a=b", ""])
def test_environment_refuses_settings_and_names_that_are_not_there(name: str) -> None:
    secrets = EnvironmentSecrets({"POSTGRES_PASSWORD": "p"}, reserved=["postgres_password"])
    with pytest.raises(ConfigurationError) as caught:
        secrets.get(name)
    assert "'p'" not in str(caught.value)


def test_vault_is_asked_again_only_when_the_value_is_old() -> None:
    now, vault = [0.0], FakeVault(erp_token="one")
    secrets = CachedVault(vault, ttl_s=10, clock=lambda: now[0])
    for now[0] in (0.0, 5.0, 9.0, 10.0):
        secrets.get("erp-token")
    assert vault.reads == 2


def test_reload_takes_the_new_value_at_once() -> None:
    vault = FakeVault(erp_token="one")
    secrets = CachedVault(vault, clock=lambda: 0.0)
    assert secrets.get("erp-token") == "one"
    vault.values["erp-token"] = "two"
    assert (secrets.get("erp-token"), secrets.reload("erp-token"), secrets.get("erp-token")) == (
        "one",
        "two",
        "two",
    )


def test_value_put_is_there_without_asking() -> None:
    vault = FakeVault()
    secrets = CachedVault(vault, clock=lambda: 0.0)
    secrets.put("erp-token", "new")
    assert (secrets.get("erp-token"), vault.values, vault.reads) == ("new", {"erp-token": "new"}, 0)


def test_folder_keeps_values_for_its_owner_only(tmp_path: Path) -> None:
    vault = DirectoryVault(tmp_path / "vault")
    vault.write("Link-1", "one")
    vault.write("Link-1", "two")
    assert vault.read("link-1") == "two"
    files = list((tmp_path / "vault").iterdir())
    assert [file.stat().st_mode & 0o777 for file in files] == [0o600]
    assert (tmp_path / "vault").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("name", ["../out", "a/b", "", "a.b", "a\x00b"])
def test_folder_takes_no_name_that_could_leave_it(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="not a name"):
        DirectoryVault(tmp_path).write(name, "x")
    assert not list(tmp_path.iterdir())


def test_folder_names_what_it_does_not_hold(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no-such"):
        DirectoryVault(tmp_path).read("no-such")

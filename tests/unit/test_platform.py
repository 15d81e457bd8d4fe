"""What the machine is known by, and whom it trusts."""

from pathlib import Path

import pytest

from infra.azure import database_role
from shared.platform import certificate_authorities


@pytest.fixture(autouse=True)
def nothing_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine whose environment says nothing of certificates."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("found", [certificate_authorities, database_role.authorities])
def test_authorities_are_a_file_of_this_machine(found) -> None:
    """`system` means a folder that only the maker of psycopg's wheel ever had: no certificate would be good."""
    assert "BEGIN CERTIFICATE" in Path(found()).read_text(errors="replace")


def test_stated_file_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "own.pem"
    own.touch()
    monkeypatch.setenv("SSL_CERT_FILE", str(own))
    assert certificate_authorities() == database_role.authorities() == str(own)


def test_first_place_that_is_there_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "gone"))
    there = tmp_path / "bundle.pem"
    there.touch()
    assert certificate_authorities([str(tmp_path / "absent"), str(there)]) == str(there)
    assert certificate_authorities([]) == "system"

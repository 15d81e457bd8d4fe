"""What every test may use: real servers, the scripted source, an environment free of the product's settings."""

import os

import pytest
from hypothesis import settings

from shared.settings import Settings

pytest_plugins = [
    "tests.fixtures_stack",
    "tests.fixtures_erp",
    "tests.fixtures_pg_source",
    "tests.fixtures_workspace",
    "tests.fixtures_microsoft",
    "tests.integration.sharing.world",
    "tests.fixtures_azure",
]


# No test asserts a time: on a busy machine any example may take long. NIGHTLY=1 tries twenty times as many.
settings.register_profile("check", deadline=None)
settings.register_profile("nightly", deadline=None, max_examples=2000)
settings.load_profile("nightly" if os.environ.get("NIGHTLY") else "check")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own settings must not change what a test sees."""
    names = {name.upper() for name in Settings.model_fields}
    for name in os.environ:
        if name in names or name.startswith(("AzureWebJobs", "TRIBUTARY_", "DATABRICKS_", "ARM_")):
            monkeypatch.delenv(name)

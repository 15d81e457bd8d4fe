"""An app on loopback and the scripts beside it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.azure.scripts import FakeApp, Scripts, serve


@pytest.fixture
def app() -> Iterator[FakeApp]:
    """Answers everything with 200 unless told otherwise."""
    made = FakeApp()
    server = serve(made)
    yield made
    server.shutdown()
    server.server_close()


@pytest.fixture
def scripts(tmp_path: Path, app: FakeApp) -> Iterator[Scripts]:
    """The scripts in an empty subscription."""
    made = Scripts(tmp_path, app.url)
    yield made
    made.azure.close()

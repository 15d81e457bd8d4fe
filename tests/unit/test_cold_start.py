"""What a cold start pays before its first invocation: nothing that only some functions need."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("azure.identity", "azure.keyvault", "azure.monitor", "azure.storage", "databricks", "fastapi", "httpx",
         "opentelemetry", "polars", "psycopg", "pydantic")  # fmt: skip


@pytest.mark.parametrize(
    "begun",
    [
        "import function_app",
        "import shared.telemetry as t; t.configure_telemetry('INFO', 'json'); t.log('x')",
    ],
)
def test_nothing_heavy_is_imported(begun: str) -> None:
    code = f"import sys; {begun}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert [name for name in loaded if any(name == h or name.startswith(f"{h}.") for h in HEAVY)] == []


def test_exported_telemetry_never_configures_the_exporter() -> None:
    """The Functions worker has done it; a second time would send everything twice."""
    code = "import sys, shared.telemetry as t; t.configure_telemetry('INFO', 'json', exported=True); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "opentelemetry.trace" in loaded
    assert [name for name in loaded if name.startswith(("azure.monitor", "opentelemetry.sdk"))] == []

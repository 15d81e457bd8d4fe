"""No upload costs more than 150 MB above what the process takes idle, read in a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.sharing.test_hostile_workbooks import HOSTILE as WORKBOOKS
from tests.unit.sharing.test_hostile_yaml import HOSTILE as YAML
from tests.unit.sharing.worst_uploads import WORST

ROOT = Path(__file__).resolve().parents[2]
MOST_MIB = 150.0
pytestmark = pytest.mark.torture


@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="resident memory is read from Linux's /proc"
)
def test_no_upload_takes_more_than_150_mb(tmp_path: Path) -> None:
    uploads = {
        name: content.encode() if isinstance(content, str) else content for name, content in WORST.items()
    }
    uploads |= {f"yaml {name}": case[0] for name, case in YAML.items()}
    uploads |= {f"workbook {name}": case[0] for name, case in WORKBOOKS.items()}
    paths = {}
    for number, (name, content) in enumerate(uploads.items()):
        path = tmp_path / str(number)
        path.write_bytes(content)
        paths[str(path)] = name
    program = [sys.executable, "-m", "tests.torture.measure_memory", *paths]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=True)
    added = {paths[path]: float(mib) for path, mib in (line.split("\t") for line in done.stdout.splitlines())}
    assert set(added) == set(uploads)
    assert {name: mib for name, mib in added.items() if mib > MOST_MIB} == {}
    # Text that no cell can hold is not even gathered.
    assert max(added["endless shared string"], added["endless cell"]) < 20

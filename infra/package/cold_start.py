"""How long a fresh process takes to import the app out of the unpacked zip.

No byte code is written or found, as on the platform, where the package is read-only; the files are in the page
cache, which they are not there. So this compares builds with one another, it does not foretell a cold start.
"""

import json
import statistics
import subprocess
import tempfile
import zipfile
from pathlib import Path

SITE_PACKAGES = ".python_packages/lib/site-packages"
_RUNS = 3
# Without site, so that nothing but the zip can answer an import; the order of the paths is the worker's.
_PROGRAM = """
import json, sys, time
folder = sys.argv[1]
sys.path[:0] = [folder + "/.python_packages/lib/site-packages"]
sys.path.append(folder)
began = time.perf_counter()
import azure.functions
between = time.perf_counter()
import function_app
print(json.dumps([between - began, time.perf_counter() - began]))
"""


def measure(package: Path, python: Path) -> tuple[float, float]:
    """Seconds until azure.functions, and until function_app, are imported; medians of three processes."""
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(package) as archive:
            archive.extractall(folder)
        times = [_once(python, folder) for _ in range(_RUNS)]
    return statistics.median(t[0] for t in times), statistics.median(t[1] for t in times)


def _once(python: Path, folder: str) -> tuple[float, float]:
    command = [str(python), "-I", "-S", "-B", "-c", _PROGRAM, folder]
    sdk, app = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return sdk, app

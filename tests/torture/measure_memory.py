"""Run as a program: reads the uploads named on its command line, each in a process of its own, and prints what the
reading added to the resident memory, in MiB, one line for each."""

import os
import sys
from pathlib import Path

from shared.sharing.errors import UploadError
from shared.sharing.parsing import parse_upload
from tests.unit.sharing.workbooks import workbook


def resident_mib(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def read(content: bytes) -> None:
    try:
        _ = parse_upload(content).checked().pack
    except UploadError as error:
        assert error.findings


def added(content: bytes) -> float:
    """What this process grows by, at most, while it reads."""
    Path("/proc/self/clear_refs").write_text("5")
    before = resident_mib("VmRSS")
    read(content)
    return resident_mib("VmHWM") - before


def main(paths: list[str]) -> None:
    for idle in (workbook(), b"metadata: {}\n"):
        read(idle)  # what is imported once belongs to the idle process
    for path in paths:
        content = Path(path).read_bytes()
        child = os.fork()
        if not child:
            print(f"{path}\t{added(content):.1f}", flush=True)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status:
            sys.exit(f"{path}: {status}")


if __name__ == "__main__":
    main(sys.argv[1:])

"""Seconds, CPU seconds and peak memory of this process between two moments."""

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(slots=True)
class Spent:
    """What a stretch of work cost; filled when it ends."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def as_dict(self) -> dict[str, float]:
        """For the answer to the parent process; memory is the whole life's peak."""
        return {"seconds": self.seconds, "cpu_seconds": self.cpu_seconds, "peak_rss_mb": peak_rss_mb()}


@contextmanager
def metered() -> Iterator[Spent]:
    """Measure the block."""
    spent, began, cpu = Spent(), time.perf_counter(), _cpu_s()
    yield spent
    spent.seconds, spent.cpu_seconds = time.perf_counter() - began, _cpu_s() - cpu


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak_rss_mb() -> float:
    """The most memory this process ever held, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not ru_maxrss: on Linux it also remembers the process that started this one.
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit

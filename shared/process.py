"""What this process asks of its libraries and its allocator; set before either is used."""

import ctypes
import os
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 256 * 1024 * 1024


def prepare_process() -> None:
    """Bound polars' threads and let freed buffers be used again.

    Fetching, preparing and loading already run in threads of their own, and an instance has one or two cores:
    polars' pool on top of them only took turns (a full load of 300,000 rows: 3.3 s with it, 2.9 s without).
    Buffers of some megabytes come and go with every chunk; by default glibc hands each back to the kernel and
    faults it in anew (2.9 s against 2.4 s). Elsewhere than on glibc the second part does nothing.
    """
    os.environ.setdefault("POLARS_MAX_THREADS", "1")
    if sys.platform != "linux":
        return
    tune = getattr(ctypes.CDLL(None), "mallopt", None)
    if tune is not None:
        tune(_M_MMAP_THRESHOLD, _KEPT_BYTES)
        tune(_M_TRIM_THRESHOLD, _KEPT_BYTES)

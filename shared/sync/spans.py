"""Strings cut out of a page's bytes without copying them.

In: a buffer of valid UTF-8 and ascending offsets that fall on character edges. Out: one String series with a
value between each two offsets. It speaks the Arrow C data interface, which polars imports by name; the
buffer lives until polars lets go of the last value in it. Called by the decoders only.
"""

import ctypes
import itertools
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

Offsets = NDArray[np.int64]


class _Schema(ctypes.Structure):
    _fields_ = (
        ("format", ctypes.c_char_p),
        ("name", ctypes.c_char_p),
        ("metadata", ctypes.c_char_p),
        ("flags", ctypes.c_int64),
        ("n_children", ctypes.c_int64),
        ("children", ctypes.c_void_p),
        ("dictionary", ctypes.c_void_p),
        ("release", ctypes.c_void_p),
        ("private_data", ctypes.c_void_p),
    )


class _Array(ctypes.Structure):
    _fields_ = (
        ("length", ctypes.c_int64),
        ("null_count", ctypes.c_int64),
        ("offset", ctypes.c_int64),
        ("n_buffers", ctypes.c_int64),
        ("n_children", ctypes.c_int64),
        ("buffers", ctypes.c_void_p),
        ("children", ctypes.c_void_p),
        ("dictionary", ctypes.c_void_p),
        ("release", ctypes.c_void_p),
        ("private_data", ctypes.c_void_p),
    )


_RELEASE = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_live: dict[int, object] = {}
_numbers = itertools.count(1)
_capsule = ctypes.pythonapi.PyCapsule_New
_capsule.restype = ctypes.py_object
_capsule.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)


def _release_schema(address: int) -> None:
    _Schema.from_address(address).release = None


def _release_array(address: int) -> None:
    array = _Array.from_address(address)
    _live.pop(array.private_data or 0, None)
    array.release = None


_schema_released = _RELEASE(_release_schema)
_array_released = _RELEASE(_release_array)
_SCHEMA_RELEASE = ctypes.cast(_schema_released, ctypes.c_void_p)
_ARRAY_RELEASE = ctypes.cast(_array_released, ctypes.c_void_p)


class _Slices:
    """What polars imports: a LargeUtf8 array over somebody else's bytes."""

    def __init__(self, buffer: NDArray[np.uint8], offsets: Offsets) -> None:
        self._buffer, self._offsets = buffer, np.ascontiguousarray(offsets, dtype=np.int64)
        # The importer reads the schema at once and may leave its release to us, so it lives as long as we do.
        self._schema = _Schema(format=b"U", name=b"", flags=2, release=_SCHEMA_RELEASE)

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        return self._schema_capsule(), self._array_capsule()

    def _schema_capsule(self) -> object:
        return _capsule(ctypes.addressof(self._schema), b"arrow_schema", None)

    def _array_capsule(self) -> object:
        number = next(_numbers)
        buffers: Any = (ctypes.c_void_p * 3)(None, self._offsets.ctypes.data, self._buffer.ctypes.data)
        array = _Array(
            length=len(self._offsets) - 1,
            n_buffers=3,
            buffers=ctypes.addressof(buffers),
            release=_ARRAY_RELEASE,
            private_data=number,
        )
        _live[number] = (array, buffers, self._offsets, self._buffer)
        return _capsule(ctypes.addressof(array), b"arrow_array", None)


def cut(buffer: NDArray[np.uint8], offsets: Offsets) -> pl.Series:
    """A String series with one value between each two neighbours of `offsets`.

    The caller has checked that the bytes are UTF-8 and that the offsets ascend within them; nothing here
    does.
    """
    return pl.Series("", _Slices(buffer, offsets))


def cut_pieces(buffer: NDArray[np.uint8], starts: Offsets, ends: Offsets) -> pl.Series:
    """A String series of the pieces [start, end); pieces are in order and do not overlap."""
    if not len(starts):
        return pl.Series("", [], dtype=pl.String)
    edges = np.empty(2 * len(starts), dtype=np.int64)
    edges[0::2], edges[1::2] = starts, ends
    return cut(buffer, edges).gather_every(2)

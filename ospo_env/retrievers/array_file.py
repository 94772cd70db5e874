"""Arrays that are written to ``.npy`` files row by row."""

import math
import os
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["ArrayFile"]


class ArrayFile:
    """A ``.npy`` file that grows row by row until the ``with`` block ends.

    It is written, not mapped: on a full disk, writing to a mapping would kill the process.

    Args:
        path: The file to make.
        dtype: Type of its numbers.
        width: Numbers of a row, for an array of two dimensions; ``None`` for one of one dimension.
        rows: Rows to reserve room for at once, where the system can, so that a full disk is found before work starts.

    Raises:
        OSError: There is no room; here, or when something is appended.
    """

    def __init__(self, path: Path, dtype: type[np.generic], width: int | None = None, rows: int = 0) -> None:
        self._dtype = np.dtype(dtype)
        self._row_shape = () if width is None else (width,)
        self._size = 0
        self._stream = path.open("wb")
        self._write_header()
        if rows and hasattr(os, "posix_fallocate"):
            os.posix_fallocate(
                self._stream.fileno(), self._stream.tell(), rows * math.prod(self._row_shape) * self._dtype.itemsize
            )

    def append(self, values: NDArray[Any]) -> None:
        """Put n rows at the end: numbers (n,) or (n, width)."""
        self._stream.write(np.ascontiguousarray(values, dtype=self._dtype).data)
        self._size += len(values)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        with self._stream:
            self._stream.truncate()
            self._stream.seek(0)
            self._write_header()  # which NumPy pads, so that it keeps its length when the array grows

    def _write_header(self) -> None:
        about = {"descr": self._dtype.str, "fortran_order": False, "shape": (self._size, *self._row_shape)}
        np.lib.format.write_array_header_1_0(self._stream, about)

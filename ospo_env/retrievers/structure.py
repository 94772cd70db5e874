"""Checks of the arrays of an index before compiled code follows the offsets in them; each raises ``ValueError``."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Arrays", "check_array", "check_numbers", "check_offsets"]

Arrays = Mapping[str, NDArray[Any]]
"""Arrays of an index by name."""

_BLOCK = 2**24  # numbers looked at at once


def check_array(arrays: Arrays, name: str, dtype: type[np.generic], shape: tuple[int | None, ...]) -> NDArray[Any]:
    """The array of a name, if it has that type and shape.

    Args:
        arrays: The arrays of an index.
        name: Name of the array.
        dtype: Its type, such as ``np.int32``, or a kind of types, such as ``np.signedinteger``.
        shape: Its shape; ``None`` stands for any length.
    """
    if name not in arrays:
        raise ValueError(f"expected an array {name!r}; got {', '.join(sorted(arrays)) or 'none'}")
    array = arrays[name]
    fits = len(shape) == array.ndim and all(
        expected in (None, length) for expected, length in zip(shape, array.shape, strict=True)
    )
    if not np.issubdtype(array.dtype, dtype) or not fits:
        lengths = str(tuple("any" if length is None else length for length in shape)).replace("'", "")
        raise ValueError(
            f"expected {name} as {dtype.__name__} of shape {lengths}; got {array.dtype} of shape {array.shape}"
        )
    return array


def check_offsets(arrays: Arrays, name: str, dtype: type[np.generic], count: int | None, total: int) -> NDArray[Any]:
    """Offsets of the runs of an array: ascending from 0 to its length.

    Args:
        arrays: The arrays of an index.
        name: Name of the offsets.
        dtype: Their type.
        count: Number of runs, one less than offsets; ``None`` for any number.
        total: Length of the array that they cut into runs.
    """
    offsets = check_array(arrays, name, dtype, (None if count is None else count + 1,))
    if not len(offsets) or offsets[0] != 0 or offsets[-1] != total or (np.diff(offsets) < 0).any():
        raise ValueError(f"expected {name} to ascend from 0 to {total:,}")
    return offsets


def check_numbers(array: NDArray[Any], name: str, least: float, below: float) -> None:
    """Check that numbers are finite and in a range.

    Args:
        array: The numbers, in any shape.
        name: Name of the array, for the message.
        least: The least number that is allowed.
        below: Bound that every number is below.
    """
    flat = array.reshape(-1)
    for start in range(0, len(flat), _BLOCK):
        block = flat[start : start + _BLOCK]
        if not (block.min() >= least and block.max() < below):  # NaN is neither
            raise ValueError(f"expected the numbers of {name} in [{least:,}, {below:,})")

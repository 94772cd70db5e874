"""Seeded random streams, splits and shuffles of all data sets."""

import zlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from envs_data.errors import DataError
from envs_data.layout import SPLITS

__all__ = ["check_whole_number", "random_stream", "shuffle_within_splits", "split_labels"]

MAX_SEED = 2**63 - 1


def check_whole_number(name: str, value: int, low: int, high: int) -> int:
    """Check an argument that has to be a whole number of a range.

    Args:
        name: Name of the argument, for the error.
        value: The value that came.
        low: Smallest value accepted.
        high: Largest value accepted.

    Returns:
        The value.

    Raises:
        DataError: The value is not an ``int``, or lies outside ``[low, high]``.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise DataError(f"{name} must be a whole number from {low} to {high}; got {value!r}")
    return value


def random_stream(seed: int, purpose: str) -> np.random.Generator:
    """Random generator of one purpose, independent of those of other purposes of the same seed.

    So drawing more numbers for one purpose (say, pools) changes nothing of another (splits).

    Args:
        seed: From 0 to 2**63 - 1.
        purpose: Any name, for example ``"splits"``.

    Returns:
        A generator of the same numbers for the same two arguments, in every process.

    Raises:
        DataError: The seed is out of range.

    >>> bool(random_stream(0, "splits").random() == random_stream(0, "pools").random())
    False
    """
    check_whole_number("seed", seed, 0, MAX_SEED)
    return np.random.default_rng([seed, zlib.crc32(purpose.encode())])


def split_labels(n: int, shares: Mapping[str, float], rng: np.random.Generator) -> NDArray[np.str_]:
    """Draw split names for ``n`` rows at random, with sizes as near to the shares as whole numbers allow.

    The first split takes the rest that rounding leaves. Every split gets at least one row if there are enough.

    Args:
        n: Number of rows, at least 0.
        shares: Share of each split in (0, 1], summing to 1.
        rng: Source of randomness.

    Returns:
        str (n,), the split of each row.

    >>> labels = split_labels(10, {"train": 0.8, "validation": 0.1, "test": 0.1}, np.random.default_rng(0))
    >>> sorted(labels.tolist()).count("train")
    8
    """
    first, *others = shares
    least = 1 if n >= len(shares) else 0
    sizes = {name: min(n, max(least, round(n * shares[name]))) for name in others}
    labels = np.full(n, first, dtype=f"<U{max(map(len, shares))}")
    order, start = rng.permutation(n), 0
    for name, size in sizes.items():
        labels[order[start : start + size]] = name
        start += size
    return labels


def shuffle_within_splits(labels: NDArray[np.str_], rng: np.random.Generator) -> NDArray[np.int64]:
    """Random order of queries in which train comes first, then validation, then test.

    Args:
        labels: str (Q,), the split of each query.
        rng: Source of randomness.

    Returns:
        int64 (Q,), a permutation: position i holds the number of the query that comes i-th.

    >>> shuffle_within_splits(np.array(["test", "train"]), np.random.default_rng(0)).tolist()
    [1, 0]
    """
    rank = np.select([labels == name for name in SPLITS], range(len(SPLITS)), len(SPLITS))
    return np.lexsort((rng.random(len(labels)), rank))

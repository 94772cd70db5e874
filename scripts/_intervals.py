"""Values with 95 % intervals: Student's for means over a few seeds, the bootstrap's for all else. Pure functions."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

__all__ = ["Interval", "interval", "mean_interval", "seed_interval"]

_RESAMPLES = 10_000


class Interval(NamedTuple):
    """A value and its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """``value [low, high]``, three decimals.

        >>> str(Interval(0.25, 0.2, float("inf")))
        '0.250 [0.200, inf]'
        """
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def interval(statistic: Callable[[NDArray[np.int64]], float], size: int, resamples: int = _RESAMPLES) -> Interval:
    """A statistic of seeds or queries with the percentile bootstrap's interval.

    Quantiles are values that occurred, so that infinity among the resamples needs no arithmetic.

    Args:
        statistic: Takes rows, int64 (S,), with repetitions.
        size: Number of rows S, at least 1.
        resamples: How many times rows are drawn again, with a seed of its own.
    """
    generator = np.random.default_rng(0)
    values = np.sort([statistic(generator.integers(size, size=size)) for _ in range(resamples)])
    low, high = (float(values[round(share * (resamples - 1))]) for share in (0.025, 0.975))
    return Interval(statistic(np.arange(size)), low, high)


def mean_interval(values: Sequence[float] | NDArray[np.float64], resamples: int = _RESAMPLES) -> Interval:
    """Mean over many values, such as queries, with the bootstrap's interval.

    Args:
        values: One a query, at least one.
        resamples: How many times they are drawn again.

    >>> mean_interval([1.0, 1.0])
    Interval(value=1.0, low=1.0, high=1.0)
    """
    array = np.asarray(values, dtype=np.float64)
    return interval(lambda rows: float(array[rows].mean()), len(array), resamples)


def seed_interval(values: Sequence[float] | NDArray[np.float64]) -> Interval:
    """Mean over seeds with Student's t interval: the bootstrap's would be too narrow for a few.

    Args:
        values: One a seed; of a single one nothing is known about the spread, and the bounds are nan.

    >>> seed_interval([1.0, 2.0, 3.0])  # 2 plus or minus 4.303 / sqrt(3)
    Interval(value=2.0, low=-0.484..., high=4.484...)
    """
    array = np.asarray(values, dtype=np.float64)
    mean = float(array.mean())
    if len(array) < 2:
        return Interval(mean, float("nan"), float("nan"))
    half = float(stats.t.ppf(0.975, len(array) - 1) * array.std(ddof=1) / np.sqrt(len(array)))
    return Interval(mean, mean - half, mean + half)

"""Values with 95 % intervals: Student's t for means over a few seeds, else the bootstrap. Pure functions."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

__all__ = ["Interval", "interval", "mean_interval", "seed_interval"]

_RESAMPLES = 10_000


class Interval(NamedTuple):
    """A value and its 95 % interval; the bounds are nan where the spread is unknown."""

    value: float
    low: float
    high: float

    @classmethod
    def of_json(cls, values: Sequence[float | None]) -> Self:
        """Inverse of :meth:`as_json`."""
        return cls(*(math.nan if value is None else value for value in values))

    def as_json(self) -> list[float | None]:
        """Value and bounds, with ``None`` for nan, which JSON lacks.

        >>> Interval(0.25, float("nan"), float("nan")).as_json()
        [0.25, None, None]
        """
        return [None if math.isnan(value) else value for value in self]

    def bounds(self, form: str = ".3f") -> str:
        """The interval without its value.

        >>> Interval(0.25, -0.2, 0.7).bounds("+.2f"), Interval(0.25, float("nan"), float("nan")).bounds()
        ('[-0.20, +0.70]', '[unknown]')
        """
        return "[unknown]" if math.isnan(self.low) else f"[{self.low:{form}}, {self.high:{form}}]"

    def __str__(self) -> str:
        """``value [low, high]``, three decimals.

        >>> str(Interval(0.25, 0.2, float("inf")))
        '0.250 [0.200, inf]'
        """
        return f"{self.value:.3f} {self.bounds()}"


def interval(statistic: Callable[[NDArray[np.int64]], float], size: int, resamples: int = _RESAMPLES) -> Interval:
    """A statistic of seeds or queries with the percentile bootstrap's interval.

    Quantiles are values that occurred, so infinity among the resamples needs no arithmetic.

    Args:
        statistic: Function of rows, int64 (S,), with repetitions.
        size: Number of rows S, at least 1.
        resamples: Number of resamples, drawn with a fixed seed.
    """
    generator = np.random.default_rng(0)
    values = np.sort([statistic(generator.integers(size, size=size)) for _ in range(resamples)])
    low, high = (float(values[round(share * (resamples - 1))]) for share in (0.025, 0.975))
    return Interval(statistic(np.arange(size)), low, high)


def mean_interval(values: Sequence[float] | NDArray[np.float64], resamples: int = _RESAMPLES) -> Interval:
    """Mean over many values, such as queries, with the bootstrap's interval.

    Args:
        values: One value a query, at least one; the bounds of a single one are nan.
        resamples: Number of resamples.

    >>> mean_interval([1.0, 1.0])
    Interval(value=1.0, low=1.0, high=1.0)
    """
    array = np.asarray(values, dtype=np.float64)
    if len(array) < 2:
        return Interval(float(array.mean()), math.nan, math.nan)
    return interval(lambda rows: float(array[rows].mean()), len(array), resamples)


def seed_interval(values: Sequence[float] | NDArray[np.float64]) -> Interval:
    """Mean over seeds with Student's t interval; the bootstrap would be too narrow for a few seeds.

    Args:
        values: One value a seed; the bounds of a single one are nan.

    >>> seed_interval([1.0, 2.0, 3.0])  # 2 plus or minus 4.303 / sqrt(3)  # doctest: +ELLIPSIS
    Interval(value=2.0, low=-0.484..., high=4.484...)
    """
    array = np.asarray(values, dtype=np.float64)
    mean = float(array.mean())
    if len(array) < 2:
        return Interval(mean, math.nan, math.nan)
    half = float(stdtrit(len(array) - 1, 0.975) * array.std(ddof=1) / np.sqrt(len(array)))
    return Interval(mean, mean - half, mean + half)

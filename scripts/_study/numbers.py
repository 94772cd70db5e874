"""Numbers of the study from its finished cells: means over seeds, intervals, paired differences. Pure functions."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Interval", "mean_interval", "rollouts_to_reach", "speed_up"]

_RESAMPLES = 10_000


class Interval(NamedTuple):
    """A value and its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """``value [low, high]``, three decimals."""
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def mean_interval(values: Sequence[float], seed: int = 0) -> Interval:
    """Mean over seeds with the percentile bootstrap's 95 % interval.

    Args:
        values: One a seed, at least one.
        seed: Of the resampling.

    >>> mean_interval([1.0, 1.0])
    Interval(value=1.0, low=1.0, high=1.0)
    """
    array = np.asarray(values, dtype=np.float64)
    drawn = np.random.default_rng(seed).integers(len(array), size=(_RESAMPLES, len(array)))
    low, high = np.quantile(array[drawn].mean(axis=1), (0.025, 0.975))
    return Interval(float(array.mean()), float(low), float(high))


def rollouts_to_reach(rollouts: NDArray[np.float64], curve: NDArray[np.float64], level: float) -> float:
    """Rollouts after which a learning curve first reaches a level, interpolated linearly; infinity if it does not.

    >>> rollouts_to_reach(np.array([0.0, 100.0, 200.0]), np.array([0.1, 0.3, 0.4]), 0.2)
    50.0
    """
    reached = np.flatnonzero(curve >= level)
    if not len(reached):
        return float("inf")
    first = int(reached[0])
    if first == 0:
        return float(rollouts[0])
    share = (level - curve[first - 1]) / (curve[first] - curve[first - 1])
    return float(rollouts[first - 1] + share * (rollouts[first] - rollouts[first - 1]))


def speed_up(
    rollouts: NDArray[np.float64], curves: NDArray[np.float64], baseline: NDArray[np.float64], seed: int = 0
) -> Interval:
    """Share of the baseline's rollouts after which the mean curve reaches the baseline's final mean.

    The interval resamples seeds, the same for both (they share warm starts). Resamples that never get there count as
    infinity.

    Args:
        rollouts: Rollouts at each evaluation, (E,).
        curves: Values of the method, (S, E), a seed a row.
        baseline: Values of the baseline, (S, E), the same seeds.
        seed: Of the resampling.
    """

    def ratio(rows: NDArray[np.int64]) -> float:
        level = float(baseline[rows, -1].mean())
        return rollouts_to_reach(rollouts, curves[rows].mean(axis=0), level) / float(rollouts[-1])

    everyone = np.arange(len(curves))
    drawn = np.random.default_rng(seed).integers(len(curves), size=(_RESAMPLES // 5, len(curves)))
    ratios = np.sort([ratio(rows) for rows in drawn])
    low, high = (float(ratios[int(share * (len(ratios) - 1))]) for share in (0.025, 0.975))
    return Interval(ratio(everyone), low, high)

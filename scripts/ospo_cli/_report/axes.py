"""Axes and bins of a page's figures: places in percent of a figure's width or height. Pure functions."""

import math
from collections.abc import Iterable
from typing import NamedTuple, Self

import numpy as np
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ospo_env.evaluation.verdict import EQUAL

__all__ = ["Axis", "Bin", "gain_bins"]

_STEPS = (1, 2, 2.5, 5, 10)
_WIDTHS = (0.01, 0.02, 0.025, 0.05, 0.1)
_MOST_BINS = 10  # on each side of 0


class Axis(NamedTuple):
    """A linear axis that begins and ends at a tick.

    Attributes:
        ticks: Values of its ticks, rising, at least two.
        digits: Decimals that tell the ticks apart.
    """

    ticks: tuple[float, ...]
    digits: int

    @classmethod
    def over(cls, values: Iterable[float], most: int = 4, *, whole: bool = False) -> Self:
        """The axis that holds some values.

        Args:
            values: Numbers, of which those that are not finite are left out; none gives the axis from 0 to 1.
            most: Most intervals between ticks.
            whole: Whether ticks are whole numbers.
        """
        finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
        low, high = min(finite), max(finite)
        if low == high:
            spare = 1.0 if whole else abs(low) / 10 or 0.1
            low, high = low - spare, high + spare
        steps = MaxNLocator(nbins=most, steps=_STEPS, integer=whole).tick_values(low, high)
        step = float(steps[1] - steps[0])
        digits = max(-math.floor(math.log10(step) + 1e-9), 0)
        if not math.isclose(round(step, digits), step, rel_tol=1e-6):
            digits += 1  # a step of 2.5
        return cls(tuple(round(float(tick), digits) for tick in steps), digits)

    def at(self, value: float) -> float:
        """Place of a value, in percent of the axis.

        >>> Axis((0.0, 0.5, 1.0), 1).at(0.25)
        25.0
        """
        low, high = self.ticks[0], self.ticks[-1]
        return round(100 * (value - low) / (high - low), 2)

    def label(self, tick: float) -> str:
        """Text of a tick.

        >>> Axis((-0.5, 0.0, 0.5), 1).label(-0.5), Axis((0.0, 20000.0), 0).label(20000.0)
        ('-0.5', '20,000')
        """
        return f"{tick:,.{self.digits}f}"


class Bin(NamedTuple):
    """A bar of a histogram.

    Attributes:
        low: Its lower edge.
        high: Its upper edge.
        queries: Number of queries.
    """

    low: float
    high: float
    queries: int


def gain_bins(gains: NDArray[np.float64]) -> tuple[Bin, ...]:
    """Histogram of the gains that are not 0, with edges at 0 and as far to both sides.

    Args:
        gains: float64 (Q,), in [-1, 1].

    Returns:
        The bins, rising; none where all queries tie.

    >>> [(round(one.low, 2), one.queries) for one in gain_bins(np.array([0.15, 0.12, 0.0, -0.2]))]
    [(-0.2, 1), (-0.18, 0), (-0.16, 0), (-0.14, 0), (-0.12, 0), (-0.1, 0), (-0.08, 0), (-0.06, 0), (-0.04, 0), \
(-0.02, 0), (0.0, 0), (0.02, 0), (0.04, 0), (0.06, 0), (0.08, 0), (0.1, 0), (0.12, 1), (0.14, 1), (0.16, 0), (0.18, 0)]
    """
    changes = gains[np.abs(gains) > EQUAL]
    if not len(changes):
        return ()
    largest = float(np.abs(changes).max())
    width = next((width for width in _WIDTHS if largest <= width * _MOST_BINS + EQUAL), _WIDTHS[-1])
    half = math.ceil(largest / width - EQUAL)
    edges = np.arange(-half, half + 1) * width
    counts = np.histogram(np.clip(changes, edges[0], edges[-1]), edges)[0]
    return tuple(Bin(*of_bin) for of_bin in zip(edges[:-1].tolist(), edges[1:].tolist(), counts.tolist(), strict=True))

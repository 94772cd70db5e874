"""Numbers of the study from its finished runs: means over seeds, intervals, paired differences. Pure functions."""

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from ospo_env.evaluation.intervals import Interval, interval

__all__ = [
    "area_under_roc",
    "area_within_groups",
    "crossed_interval",
    "rollouts_to_reach",
    "share_of_rollouts",
    "transfer",
]

_CURVE_RESAMPLES = 2_000


def rollouts_to_reach(rollouts: NDArray[np.float64], curve: NDArray[np.float64], level: float) -> float:
    """Rollouts after which a learning curve first reaches a level, interpolated linearly; infinity if it does not.

    >>> rollouts_to_reach(np.array([0.0, 100.0, 200.0]), np.array([0.0, 0.5, 0.75]), 0.25)
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


def share_of_rollouts(
    rollouts: NDArray[np.float64], curves: NDArray[np.float64], baseline: NDArray[np.float64]
) -> Interval:
    """Share of the baseline's rollouts after which the mean curve reaches the baseline's final mean.

    The interval draws seeds again, the same for both (they share warm starts). Draws that never get there count as
    infinity.

    Args:
        rollouts: Rollouts at each evaluation, (E,).
        curves: Values of the method, (S, E), a seed a row.
        baseline: Values of the baseline, (S, E), the same seeds.
    """

    def ratio(rows: NDArray[np.int64]) -> float:
        level = float(baseline[rows, -1].mean())
        return rollouts_to_reach(rollouts, curves[rows].mean(axis=0), level) / float(rollouts[-1])

    return interval(ratio, len(curves), _CURVE_RESAMPLES)


def transfer(seen: NDArray[np.float64], unseen: NDArray[np.float64]) -> Interval:
    """Mean gain under an unseen retriever over the mean gain under that of training.

    Args:
        seen: Gains over the warm start, (S,), a seed each.
        unseen: The same policies' gains under the other retriever, (S,).

    >>> transfer(np.array([0.2, 0.2]), np.array([0.1, 0.1])).value
    0.5
    """

    def ratio(rows: NDArray[np.int64]) -> float:
        gain = float(seen[rows].mean())
        return float(unseen[rows].mean()) / gain if gain else float("inf")

    return interval(ratio, len(seen))


def crossed_interval(values: NDArray[np.float64]) -> Interval:
    """Mean over seeds and queries, with the bootstrap's interval: both are drawn again, each by itself.

    Args:
        values: (S, Q), a seed a row; the same queries for all seeds.

    >>> crossed_interval(np.array([[1.0, 3.0], [1.0, 3.0]]))
    Interval(value=2.0, low=1.0, high=3.0)
    """
    generator = np.random.default_rng(0)
    seeds, queries = values.shape
    means = []
    for _ in range(_CURVE_RESAMPLES):
        rows, columns = generator.integers(seeds, size=seeds), generator.integers(queries, size=queries)
        means.append(values[rows].mean(axis=0)[columns].mean())
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(float(values.mean()), float(low), float(high))


def area_under_roc(scores: NDArray[np.float64], labels: NDArray[np.bool_]) -> float:
    """Probability that a right one scores above a wrong one, ties counting half; nan where one kind is missing.

    Args:
        scores: (K,).
        labels: Whether each is right, (K,).

    >>> area_under_roc(np.array([0.1, 0.4, 0.4, 0.9]), np.array([False, False, True, True]))
    0.875
    """
    if labels.all() or not labels.any():
        return float("nan")
    return float(roc_auc_score(labels, scores))


def area_within_groups(scores: NDArray[np.float64], labels: NDArray[np.bool_], groups: NDArray[np.int64]) -> float:
    """The same among pairs of one group: mean over groups, weighted by their pairs of a right and a wrong one.

    Args:
        scores: (K,).
        labels: Whether each is right, (K,).
        groups: Group of each, (K,).

    >>> area_within_groups(np.array([1.0, 2.0, 8.0, 9.0]), np.array([0, 1, 0, 1], bool), np.array([0, 0, 1, 1]))
    1.0
    """
    areas, pairs = [], []
    for group in np.unique(groups):
        members = groups == group
        right = int(labels[members].sum())
        if 0 < right < members.sum():
            areas.append(area_under_roc(scores[members], labels[members]))
            pairs.append(right * (int(members.sum()) - right))
    return float(np.average(areas, weights=pairs)) if pairs else float("nan")

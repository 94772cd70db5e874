"""The verdict on rewrites against the raw query: mean gain, wins, ties and losses, and a sign test. Pure functions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr

from ospo_env.evaluation.intervals import Interval, mean_interval

__all__ = ["EQUAL", "RESAMPLES", "Signs", "Verdict", "count_signs", "make_verdict", "query_means", "sign_test"]

EQUAL = 1e-9
"""Difference of two values of a metric up to which they are equal but for rounding."""

RESAMPLES = 2_000
"""Bootstrap resamples of queries, which are many, unlike seeds."""


class Signs(NamedTuple):
    """Signs of the gains of queries.

    Attributes:
        wins: Queries that gain.
        ties: Queries that gain nothing, up to rounding.
        losses: Queries that lose.
        p_value: Two-sided sign test of wins against losses, in [0, 1].
    """

    wins: int
    ties: int
    losses: int
    p_value: float


@dataclass(frozen=True)
class Verdict:
    """Rewrites against the raw query.

    Attributes:
        queries: Number of queries.
        gain: Mean gain over the raw query, with its 95 % interval over queries.
        signs: Signs of the gains.
    """

    queries: int
    gain: Interval
    signs: Signs

    def as_json(self) -> dict[str, Any]:
        """The fields, JSON-able, those of the signs beside the others."""
        return {"queries": self.queries, "gain": self.gain.as_json(), **self.signs._asdict()}


def make_verdict(gains: NDArray[np.float64]) -> Verdict:
    """Sum up the gains of Q queries.

    Args:
        gains: float64 (Q,), at least one, each the mean over a query's rewrites.
    """
    return Verdict(len(gains), mean_interval(gains, RESAMPLES), count_signs(gains))


def count_signs(gains: NDArray[np.float64]) -> Signs:
    """Signs of the gains of Q queries, float64 (Q,).

    >>> count_signs(np.array([0.2, 0.1, 0.3, 0.0, -0.1]))
    Signs(wins=3, ties=1, losses=1, p_value=0.625)
    """
    wins, losses = int((gains > EQUAL).sum()), int((gains < -EQUAL).sum())
    (p_value,) = sign_test(np.array([wins]), np.array([losses])).tolist()
    return Signs(wins, len(gains) - wins - losses, losses, p_value)


def sign_test(wins: NDArray[np.int64], losses: NDArray[np.int64]) -> NDArray[np.float64]:
    """P-values of two-sided sign tests; ties say nothing and are left out (Conover 1999, section 3.4).

    Args:
        wins: int64 (N,), how often each thing won.
        losses: int64 (N,), how often it lost.

    Returns:
        float64 (N,), in [0, 1]: the probability of as many more of one sign, or more, if both are equally likely.

    >>> sign_test(np.array([6, 3, 0]), np.array([0, 3, 0])).tolist()
    [0.03125, 1.0, 1.0]
    """
    tails = bdtr(np.minimum(wins, losses).astype(np.float64), wins + losses, 0.5)
    p_values: NDArray[np.float64] = np.minimum(2.0 * tails, 1.0)
    return p_values


def query_means(values: NDArray[np.float64], prompt_ids: Sequence[str], ids: Sequence[str]) -> NDArray[np.float64]:
    """Mean over the rewrites of each query.

    Args:
        values: float64 (B,), one for each rewrite.
        prompt_ids: B ids of the rewrites' queries.
        ids: Q ids of the queries, each once; each has a rewrite.

    Returns:
        float64 (Q,), in the order of ``ids``.

    >>> query_means(np.array([0.5, 0.1, 0.3]), ["b", "a", "a"], ["a", "b"]).tolist()
    [0.2, 0.5]
    """
    row_of = {prompt_id: row for row, prompt_id in enumerate(ids)}
    rows = np.array([row_of[prompt_id] for prompt_id in prompt_ids])
    means: NDArray[np.float64] = np.bincount(rows, values, len(ids)) / np.bincount(rows, minlength=len(ids))
    return means

"""Position bias of a log: how much less a document is looked at further down. Pure functions.

A click at position k has the probability p_k r(q, d): that the position is looked at, times that the document is wanted
(Richardson, Dominowska and Ragno 2007; Craswell et al. 2008). Documents that one query showed at several positions tell
p_k apart from r, without an experiment (Agarwal et al. 2019, "Estimating Position Bias without Intrusive
Interventions").
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

from envs_data.errors import DataError

__all__ = ["DEEPEST", "LARGEST_WEIGHT", "Propensity", "estimate_propensity", "position_weights"]

DEEPEST = 20
"""Last position with a propensity of its own; deeper ones have that of it."""

LARGEST_WEIGHT = 10.0
"""Largest weight of an action, so that one of them far down does not decide alone."""

_ITERATIONS = 10_000
_SETTLED = 1e-10  # relative change of an iteration at which the estimate is final


class Propensity(NamedTuple):
    """An estimate.

    Attributes:
        values: Probability that a position is looked at, divided by that of the first, float64 (K,).
        errors: Standard errors, float64 (K,), from the curvature of the likelihood: 0 for the first position, nan for
            unknown ones.
        pairs: Pairs of query and document that were shown at several positions and acted on.
        actions: Actions on these pairs.
        unknown: Positions that no such pair joins with the first, or without an action; they have the value of the
            position before.
    """

    values: NDArray[np.float64]
    errors: NDArray[np.float64]
    pairs: int
    actions: int
    unknown: tuple[int, ...]


def estimate_propensity(shown: pl.DataFrame) -> Propensity:
    """Estimate propensities by maximum likelihood, given how often each pair was acted on at all.

    Actions of a pair on its positions are multinomial with probabilities n_k p_k / sum over j of n_j p_j, where n_k is
    how often it was shown at k. Pairs of one position say nothing. The likelihood is that of a Bradley-Terry model, and
    is climbed by minorisation (Hunter 2004): p_k = c_k / sum over pairs of C n_k / sum over j of n_j p_j, where c_k are
    the actions at k and C those of the pair.

    Args:
        shown: ``query``, ``doc_id``, ``position`` from 1, ``shown`` and ``acted``, numbers of times; a row for each.

    Raises:
        DataError: No pair was shown at the first position and at another, and acted on.
    """
    cells = shown.filter((pl.col("shown") > 0) & (pl.col("position") > 0))
    cells = cells.with_columns(pl.col("position").clip(upper_bound=DEEPEST))
    cells = cells.group_by("query", "doc_id", "position").agg(pl.col("shown", "acted").sum())
    pair = pl.struct("query", "doc_id")
    cells = cells.filter((pl.len().over(pair) > 1) & (pl.col("acted").sum().over(pair) > 0))
    cells = cells.sort("query", "doc_id", "position").with_columns(pair=pair.rle_id())
    owner, place = cells["pair"].to_numpy(), cells["position"].to_numpy() - 1
    times, acted = cells["shown"].to_numpy().astype(np.float64), cells["acted"].to_numpy().astype(np.float64)
    size = int(place.max(initial=0)) + 1
    clicks = np.bincount(place, acted, size).astype(np.float64)
    joined = _joined_with_first(owner, place, size) & (clicks > 0)
    if not joined[0] or joined.sum() < 2:
        raise DataError(
            "expected documents that one query showed at the first position and at others, with an impression for each "
            "time and actions on them; there are none: give the propensities (--propensity 1,0.7,0.5), or none"
        )
    values = _climb(owner, place, times, acted, clicks, joined)
    errors = values * _relative_errors(owner, place, times * values[place], acted, joined)
    for position in np.flatnonzero(~joined).tolist():
        values[position] = values[position - 1]
    unknown = tuple(int(position) + 1 for position in np.flatnonzero(~joined))
    return Propensity(values, errors, int(owner.max()) + 1, int(acted.sum()), unknown)


def position_weights(positions: NDArray[np.int64], propensities: Sequence[float]) -> NDArray[np.float64]:
    """Weights of actions: 1 / propensity, at most :data:`LARGEST_WEIGHT`; 1 for an unknown position, which is 0.

    Args:
        positions: int64 (B,), from 1.
        propensities: Propensities of the first K positions; deeper ones have the last.

    >>> position_weights(np.array([1, 2, 9, 0]), [1.0, 0.5, 0.25]).tolist()
    [1.0, 2.0, 4.0, 1.0]
    """
    weights = np.minimum(1.0 / np.asarray(propensities, dtype=np.float64), LARGEST_WEIGHT)
    return np.where(positions > 0, weights[np.clip(positions, 1, len(weights)) - 1], 1.0)


def _joined_with_first(owner: NDArray[np.int64], place: NDArray[np.int64], size: int) -> NDArray[np.bool_]:
    """Positions that pairs join with the first one, bool (K,)."""
    joined: NDArray[np.bool_] = np.arange(size) == 0
    while True:
        reached = np.unique(owner[joined[place]])
        wider = joined.copy()
        wider[place[np.isin(owner, reached)]] = True
        if np.array_equal(wider, joined):
            return joined
        joined = wider


def _climb(
    owner: NDArray[np.int64],
    place: NDArray[np.int64],
    times: NDArray[np.float64],
    acted: NDArray[np.float64],
    clicks: NDArray[np.float64],
    joined: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Propensities (K,) of maximum likelihood, the first 1; those that are not joined stay 0."""
    of_pair = np.bincount(owner, acted)
    values = joined.astype(np.float64)
    for _ in range(_ITERATIONS):
        expected = np.bincount(owner, times * values[place])
        share = np.divide(of_pair, expected, out=np.zeros_like(expected), where=expected > 0)
        exposure = np.bincount(place, times * share[owner], len(clicks))
        better = np.divide(clicks, exposure, out=np.zeros_like(clicks), where=joined & (exposure > 0))
        better /= better[0]
        if (np.abs(better - values) <= _SETTLED * better).all():
            return better
        values = better
    return values


def _relative_errors(
    owner: NDArray[np.int64],
    place: NDArray[np.int64],
    exposure: NDArray[np.float64],
    acted: NDArray[np.float64],
    joined: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Standard errors of log p (K,); the information of a pair with the shares s of positions is C (diag(s) - s s')."""
    of_pair = np.bincount(owner, acted)
    expected = np.bincount(owner, exposure)
    share = np.divide(exposure, expected[owner], out=np.zeros_like(exposure), where=expected[owner] > 0)
    table = sparse.csr_array((share, (owner, place)), shape=(len(of_pair), len(joined)))
    weighted = table.multiply(of_pair[:, None]).tocsr()
    information = np.diag(np.asarray(weighted.sum(axis=0)).ravel()) - (table.T @ weighted).toarray()
    free = np.flatnonzero(joined)[1:]
    errors = np.where(joined, 0.0, np.nan)
    errors[free] = np.sqrt(np.diag(np.linalg.inv(information[np.ix_(free, free)])))
    return errors

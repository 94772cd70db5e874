"""Scores and worths of coalitions estimated from those of a few that were called, by Gaussian processes.

The residual of a mean function is interpolated over coalitions with the covariance rho^|S xor T|, which falls with the
number of players that one of two coalitions holds and the other lacks (C. E. Rasmussen, C. K. I. Williams, "Gaussian
Processes for Machine Learning", 2006, section 2.7: a fixed mean function). Rankings, not scores, give worths, so that
a row of scores counts up to its scale and up to a number that is added to all of it.

Both constants were chosen by the error of credit under a sentence encoder, on rewrites of the embedded shops; twice or
half of what is left of rho to 1 changes it by a tenth.
"""

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["ScoreFit", "interpolated_worths"]

_RHO = 0.85
_NOISE = 0.05  # variance of what no neighbour tells, relative to that of the process
_QUERY_WEIGHTS = (3.0, np.inf)  # of the query in front, in segments; with the last one scores are sums
_LEAST_SCALE = 0.25
_DIGITS = 2.0**30  # of fitted scores, relative to their spread: equal documents tie in spite of rounding

_Scores: TypeAlias = NDArray[np.float64]
_Coalitions: TypeAlias = NDArray[np.bool_]


class _Mean(NamedTuple):
    """The mean function of :class:`ScoreFit`.

    Attributes:
        weight: Weight of the query in front, in segments, w; infinite for sums of scores.
        query: Scores of the query in front (P,), 0 without one.
        singles: Scores of single players (N, P).
    """

    weight: float
    query: _Scores
    singles: _Scores

    def __call__(self, coalitions: _Coalitions) -> _Scores:
        """Its values at C coalitions, float64 (C, P)."""
        sizes = np.maximum(coalitions.sum(axis=1, keepdims=True), 1)
        shares = 1 / (1 + (sizes - 1) / (self.weight + 1))  # (w + 1) / (w + |S|), for infinite w too
        means: _Scores = self.query + shares * (coalitions.astype(np.float64) @ (self.singles - self.query))
        return means


class ScoreFit:
    """Scores of any coalition's text on a pool, fitted to those of M coalitions.

    The mean function is the mean of the kept segments' own scores. With the query in front it is

    raw + (w + 1) / (w + |S|) sum over i in S (single_i - raw),

    the mean of the segments' scores and of w times the query's, written with scores of query and segment; w is the one
    of a few that fits best. Rows are centred and scaled to their means first.

    A document scores -inf where neither the query in front nor any kept segment matches it; elsewhere -inf counts as 0
    in the fit. Sums of scores, up to a factor, are fitted exactly.

    Args:
        coalitions: The coalitions that were called, bool (M, N), distinct; single players and all players are best
            among them.
        scores: Their scores, float64 (M, P), finite or -inf.
        singles: Scores of single players, float64 (N, P), likewise.
        raw: Scores of the query in front, float64 (P,); ``None`` without a query in front.
        times: Times that the query stands in front.
    """

    def __init__(
        self,
        coalitions: _Coalitions,
        scores: _Scores,
        singles: _Scores,
        raw: _Scores | None = None,
        times: int = 1,
    ) -> None:
        self._coalitions = coalitions
        self._matched = singles > -np.inf
        self._raw_matched = np.zeros(singles.shape[1], dtype=np.bool_) if raw is None else raw > -np.inf
        rows, own = _centred(scores), _centred(singles)
        query = np.zeros(singles.shape[1]) if raw is None else _centred(raw[None])[0]
        fits = []
        for weight in (0.0,) if raw is None else _QUERY_WEIGHTS:
            mean = _Mean(weight, query * times if weight == np.inf else query, own)
            means = mean(coalitions)
            residuals = _scaled(rows, means) - means
            fits.append((float((residuals**2).sum()), mean, residuals))
        _, self._mean, residuals = min(fits, key=lambda fit: fit[0])
        self._solved = _solve(coalitions, residuals)

    def __call__(self, coalitions: _Coalitions) -> _Scores:
        """Scores of C coalitions, bool (C, N): float64 (C, P), up to scale and shift of each row."""
        fitted = self._mean(coalitions) + _covariance(coalitions, self._coalitions) @ self._solved
        unit = np.abs(fitted).max(axis=1, keepdims=True, initial=0.0) / _DIGITS
        fitted = np.rint(np.divide(fitted, unit, out=np.zeros_like(fitted), where=unit > 0))
        return np.where(self._raw_matched | (coalitions @ self._matched), fitted, -np.inf)


def interpolated_worths(known: _Coalitions, worths: _Scores, coalitions: _Coalitions) -> _Scores:
    """Worths of C coalitions interpolated from M others, for rankings whose scores cannot be fitted.

    The mean function rises with the size of a coalition from the worth of the empty to that of the grand one.

    Args:
        known: bool (M, N), distinct, the empty and the grand coalition among them.
        worths: Their worths, float64 (M,) in [0, 1].
        coalitions: bool (C, N).

    Returns:
        float64 (C,), in [0, 1].

    >>> known = np.array([[False, False], [True, True]])
    >>> interpolated_worths(known, np.array([0.0, 1.0]), np.array([[True, False]]))
    array([0.5])
    """
    sizes = known.sum(axis=1)
    empty, grand = worths[sizes.argmin()], worths[sizes.argmax()]
    slope = (grand - empty) / known.shape[1]
    solved = _solve(known, worths - empty - slope * sizes)
    values = empty + slope * coalitions.sum(axis=1) + _covariance(coalitions, known) @ solved
    worths_between: _Scores = np.clip(values, 0.0, 1.0)
    return worths_between


def _centred(scores: _Scores) -> _Scores:
    """Rows of scores (M, P) with 0 for -inf, less their means."""
    finite = np.where(scores > -np.inf, scores, 0.0)
    centred: _Scores = finite - finite.mean(axis=1, keepdims=True)
    return centred


def _scaled(rows: _Scores, means: _Scores) -> _Scores:
    """Rows (M, P) divided by their regression coefficients on the rows of means; those of no mean as they are."""
    norms = (means**2).sum(axis=1)
    scales = np.divide((rows * means).sum(axis=1), norms, out=np.ones(len(rows)), where=norms > 0)
    scaled: _Scores = rows / np.maximum(scales, _LEAST_SCALE)[:, None]
    return scaled


def _covariance(some: _Coalitions, others: _Coalitions) -> _Scores:
    """Rho to the power of the Hamming distance of coalitions (C, N) and (M, N): float64 (C, M)."""
    shared = some.astype(np.float64) @ others.T.astype(np.float64)
    distances = some.sum(axis=1)[:, None] + others.sum(axis=1) - 2 * shared
    covariance: _Scores = _RHO**distances
    return covariance


def _solve(coalitions: _Coalitions, residuals: _Scores) -> _Scores:
    """The weights of each called coalition's residual (M, ...) in an interpolation."""
    covariance = _covariance(coalitions, coalitions)
    covariance[np.diag_indices(len(covariance))] += _NOISE
    return np.linalg.solve(covariance, residuals).astype(np.float64)

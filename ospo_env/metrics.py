"""Ranking metrics, vectorised over a batch of rankings. Pure functions on arrays.

A metric is a name with parameters: ``nDCG@k``, ``RR``, ``RR@k``, ``R@k``, ``AP``, as in ir-measures. nDCG adds a
document's gain times 1 / log2(rank + 1) (Järvelin and Kekäläinen 2002, linear gain) and divides by the same sum over
the best order of **all** judged documents of the query, in its pool or not. RR, R and AP count the documents of full
gain (gain >= 1) as relevant, R and AP out of all judged ones. Documents of score -inf are not ranked; equal scores
rank in the order of the columns, which in a candidate pool are ascending document rows.

Every sum runs over ranks in order, one row independent of the others, so that a value does not depend on the batch
it was computed in, and the best order has nDCG exactly 1.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from envs_data import unknown_name
from ospo_env.errors import TaskError

__all__ = ["FULL_GAIN", "Metric", "parse_metric", "ranked_gains", "ranking"]

FULL_GAIN = 1.0
"""The gain from which a document counts as relevant for RR, R and AP."""

Array: TypeAlias = NDArray[np.float64]

_FORMS = ("nDCG@k", "RR", "RR@k", "R@k", "AP")


@dataclass(frozen=True)
class Metric:
    """A metric by name; called, it is computed. ``str(metric)`` is the printed name.

    Attributes:
        measure: Key of the table of measures.
        cutoff: Ranks that count, at least 1, or ``None`` for all.
    """

    measure: str
    cutoff: int | None = None

    def __str__(self) -> str:
        return self.measure if self.cutoff is None else f"{self.measure}@{self.cutoff}"

    def __call__(self, scores: Array, columns: NDArray[np.int64], gains: Array, judged: Array) -> Array:
        """The metric of each ranking.

        Args:
            scores: Finite, or -inf where a document is not ranked (B, P).
            columns: Where the documents that have a gain stand, (B, R), padded with any column.
            gains: Their gains, >= 0, (B, R), padded with 0.
            judged: Gains of all judged documents of the query in descending order, (B, J), padded with 0.

        Returns:
            float64 (B,), in [0, 1]; 0 where nothing is ranked.
        """
        depth = min(self.cutoff or scores.shape[1], scores.shape[1])
        return _MEASURES[self.measure](ranked_gains(scores, columns, gains, depth), judged, self.cutoff)


def parse_metric(name: str) -> Metric:
    """The metric of a name.

    Raises:
        TaskError: It is no string, there is no such metric, or its cut-off is missing, not allowed or not a positive
            integer.

    >>> parse_metric("nDCG@10")
    Metric(measure='nDCG', cutoff=10)
    """
    if not isinstance(name, str):
        raise TaskError(f"expected a metric's name such as 'nDCG@10'; got {type(name).__name__}")
    match = re.fullmatch(r"([^@]+)(?:@([0-9]{1,6}))?", name)
    cutoff = int(match[2]) if match and match[2] else None
    if match and cutoff != 0 and match[1] + ("@k" if cutoff else "") in _FORMS:
        return Metric(match[1], cutoff)
    known = [form.replace("k", str(cutoff)) for form in _FORMS] if cutoff else list(_FORMS)
    raise TaskError(f"{unknown_name('metric', name, known)} (k is a positive integer)")


def ranked_gains(scores: Array, columns: NDArray[np.int64], gains: Array, depth: int) -> Array:
    """Gains of the documents at ranks 1 to ``depth``, ranked by (-score, column).

    Nothing is sorted: only documents that have a gain need a rank, one more than the number of those ahead of them.

    Args:
        scores: (B, P); -inf is not ranked.
        columns: Where the documents that have a gain stand, (B, R), padded with any column.
        gains: Their gains, (B, R), padded with 0.
        depth: Ranks wanted, in 1 .. P.

    Returns:
        float64 (B, depth); 0 where a document without gain or none stands at that rank.

    >>> ranked_gains(np.array([[5.0, 7.0, 7.0, -np.inf]]), np.array([[2, 3]]), np.array([[0.1, 1.0]]), 3)
    array([[0. , 0.1, 0. ]])
    """
    ranked = np.zeros((len(scores), depth))
    rows = np.arange(len(scores))
    position = np.arange(scores.shape[1])
    for column, gain in zip(columns.T, gains.T, strict=True):
        own = scores[rows, column]
        ahead = (scores > own[:, None]) | ((scores == own[:, None]) & (position < column[:, None]))
        place = np.count_nonzero(ahead, axis=1)
        counts = np.flatnonzero((place < depth) & (own > -np.inf) & (gain > 0))
        ranked[counts, place[counts]] = gain[counts]
    return ranked


def ranking(scores: Array) -> NDArray[np.intp]:
    """Columns of one row of scores (P,), best first, ties in the order of the columns, without those of -inf."""
    order = np.argsort(-scores, kind="stable")
    return order[: np.count_nonzero(scores > -np.inf)]


def _dcg(ranked: Array) -> Array:
    total = np.zeros(len(ranked))
    for rank, gain in enumerate(ranked.T, start=1):
        total += gain / np.log2(rank + 1)
    return total


def _ndcg(ranked: Array, judged: Array, cutoff: int | None) -> Array:
    return _share(_dcg(ranked), _dcg(judged[:, :cutoff]))


def _reciprocal_rank(ranked: Array, judged: Array, cutoff: int | None) -> Array:
    first: Array = np.asarray((ranked >= FULL_GAIN).argmax(axis=1), dtype=np.float64)
    return _share(np.minimum(_relevant(ranked), 1.0), first + 1.0)


def _recall(ranked: Array, judged: Array, cutoff: int | None) -> Array:
    return _share(_relevant(ranked), _relevant(judged))


def _average_precision(ranked: Array, judged: Array, cutoff: int | None) -> Array:
    found = np.zeros(len(ranked))
    total = np.zeros(len(ranked))
    for rank, relevant in enumerate((ranked >= FULL_GAIN).T, start=1):
        found += relevant
        total += relevant * found / rank
    return _share(total, _relevant(judged))


def _relevant(gains: Array) -> Array:
    return np.asarray(np.count_nonzero(gains >= FULL_GAIN, axis=1), dtype=np.float64)


def _share(part: Array, whole: Array) -> Array:
    shares: Array = np.divide(part, whole, out=np.zeros(part.shape), where=whole > 0)
    return shares


_MEASURES: dict[str, Callable[[Array, Array, int | None], Array]] = {
    "nDCG": _ndcg,
    "RR": _reciprocal_rank,
    "R": _recall,
    "AP": _average_precision,
}

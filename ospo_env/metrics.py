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
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from envs_data import unknown_name
from ospo_env.errors import TaskError

__all__ = ["FULL_GAIN", "Metric", "Scores", "parse_metric", "ranked_gains", "ranking"]

FULL_GAIN = 1.0
"""The gain from which a document counts as relevant for RR, R and AP."""

Array: TypeAlias = NDArray[np.float64]
Scores: TypeAlias = NDArray[np.float32] | NDArray[np.float64]
"""Scores of documents: whole numbers need no more than float32."""

_BYTE = 255
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

    def __call__(
        self, scores: Scores, columns: NDArray[np.int64], gains: Array, judged: Array, floor: float = -np.inf
    ) -> Array:
        """The metric of each ranking.

        Args:
            scores: float32 or float64 (B, P).
            columns: Where the documents that have a gain stand, (B, R), padded with any column; (1, R) where all
                rankings are of one pool.
            gains: Their gains, >= 0, like the columns, padded with 0.
            judged: Gains of all judged documents of the query in descending order, (B, J) or (1, J), padded with 0.
            floor: Documents that score no more are not ranked.

        Returns:
            float64 (B,), in [0, 1]; 0 where nothing is ranked.
        """
        depth = min(self.cutoff or scores.shape[1], scores.shape[1])
        return self.of_ranked(ranked_gains(scores, columns, gains, depth, floor), judged)

    def of_ranked(self, ranked: Array, judged: Array) -> Array:
        """The metric of rankings whose gains are known: several metrics need them only once.

        Args:
            ranked: As :func:`ranked_gains` returns it, as deep as the cut-off or the pool.
            judged: As when called.

        Returns:
            float64 (B,), in [0, 1].
        """
        return _MEASURES[self.measure](ranked[:, : self.cutoff], judged, self.cutoff)


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


def ranked_gains(scores: Scores, columns: NDArray[np.int64], gains: Array, depth: int, floor: float = -np.inf) -> Array:
    """Gains of the documents at ranks 1 to ``depth``, ranked by (-score, column).

    Nothing is sorted: only documents that have a gain need a rank, one more than the number of those ahead of them.
    That is counted a document at a time, for all rankings at once: fastest for one pool, and where the scores of a
    document lie next to each other (column-major).

    Args:
        scores: float32 or float64 (B, P).
        columns: Where the documents that have a gain stand, (B, R), padded with any column; (1, R) where all rankings
            are of one pool.
        gains: Their gains, like the columns, padded with 0.
        depth: Ranks wanted, in 1 .. P.
        floor: Documents that score no more are not ranked.

    Returns:
        float64 (B, depth); 0 where a document without gain or none stands at that rank.

    >>> ranked_gains(np.array([[5.0, 7.0, 7.0, -np.inf]]), np.array([[2, 3]]), np.array([[0.1, 1.0]]), 3)
    array([[0. , 0.1, 0. ]])
    """
    one_pool = len(columns) == 1
    if one_pool:
        columns, gains = columns[:, gains[0] > 0], gains[:, gains[0] > 0]
    by_document = scores.T if scores.strides[0] == scores.itemsize else np.ascontiguousarray(scores.T)
    batch = by_document.shape[1]
    rows = np.arange(batch)
    ahead = np.empty(by_document.shape, dtype=np.bool_)
    ranked = np.zeros((depth + 1, batch))  # the last row takes those that rank lower, or not at all
    cells = ranked.reshape(-1)
    for column, gain in zip(columns.T, gains.T, strict=True):
        if one_pool:
            own = by_document[column[0]]
            np.greater_equal(by_document[: column[0]], own, out=ahead[: column[0]])
            np.greater(by_document[column[0] :], own, out=ahead[column[0] :])
        else:
            own = by_document[column, rows]
            np.greater(by_document, own, out=ahead)
            ahead |= (by_document == own) & (np.arange(len(by_document))[:, None] < column)
        place = np.minimum(_count(ahead), depth).astype(np.intp)
        place[own <= floor if one_pool else (own <= floor) | (gain <= 0)] = depth
        place *= batch
        place += rows
        cells[place] = gain[0] if one_pool else gain
    return ranked[:depth].T


def _count(marks: NDArray[np.bool_]) -> NDArray[np.uint8] | NDArray[np.intp]:
    """How many marks each column of (P, B) holds: (B,). Up to 255 rows are added in a byte, which is fastest."""
    parts = [marks[first : first + _BYTE].view(np.uint8) for first in range(0, len(marks), _BYTE)]
    counts: list[NDArray[np.uint8]] = [np.add.reduce(part, axis=0, dtype=np.uint8) for part in parts]
    return counts[0] if len(counts) == 1 else np.stack(counts).sum(axis=0, dtype=np.intp)


def ranking(scores: Array) -> NDArray[np.intp]:
    """Columns of one row of scores (P,), best first, ties in the order of the columns, without those of -inf."""
    order = np.argsort(-scores, kind="stable")
    return order[: np.count_nonzero(scores > -np.inf)]


def _dcg(ranked: Array) -> Array:
    total = np.zeros(len(ranked))
    for gain in (ranked / _discounts(ranked.shape[1])).T:
        total += gain
    return total


@lru_cache(maxsize=64)
def _discounts(depth: int) -> Array:
    return np.array([np.log2(rank + 1) for rank in range(1, depth + 1)])


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

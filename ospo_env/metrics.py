"""Ranking metrics, vectorised over a batch of rankings. Pure functions on arrays.

A metric is a name with parameters: ``nDCG@k``, ``RR``, ``RR@k``, ``R@k``, ``AP``, as in ir-measures. nDCG adds a
document's gain times 1 / log2(rank + 1) (Järvelin and Kekäläinen 2002, linear gain) and divides by the same sum over
the best order of **all** judged documents of the query, in its pool or not. RR, R and AP count the documents of full
gain (gain >= 1) as relevant, R and AP out of all judged ones. Documents of score -inf are not ranked; equal scores
rank in the order of the columns, which in a candidate pool are ascending document rows.

Every sum runs over ranks in order, and rows are independent of each other, so a value does not depend on its batch,
and the best order has nDCG exactly 1.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from envs_data.errors import unknown_name
from ospo_env.errors import TaskError

__all__ = ["FULL_GAIN", "Metric", "Scores", "parse_metric", "ranked_gains", "ranking"]

FULL_GAIN = 1.0
"""The gain from which a document counts as relevant for RR, R and AP."""

Array: TypeAlias = NDArray[np.float64]
Scores: TypeAlias = NDArray[np.float32] | NDArray[np.float64]
"""Scores of documents: float32 is enough for whole numbers."""

_BYTE = 255
_COUNTED = 24  # documents of a pool with gain, beyond which it is faster to sort the pool; it changes no value
_COUNTED_AT_ONCE = 96  # the same for many rankings of one pool
_COMPARED = 2**18  # pairs of documents compared at once; it changes no value
_FORMS = ("nDCG@k", "RR", "RR@k", "R@k", "AP")


@dataclass(frozen=True)
class Metric:
    """A metric, callable on a batch of rankings. ``str(metric)`` is the printed name.

    Attributes:
        measure: Key of the table of measures.
        cutoff: Number of ranks that count, at least 1, or ``None`` for all.
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
            columns: Columns of the documents that have a gain, (B, R), padded with any column; (1, R) where all
                rankings are of one pool.
            gains: Gains of these documents, at least 0, shaped like the columns, padded with 0.
            judged: Gains of all judged documents of the query in descending order, (B, J) or (1, J), padded with 0.
            floor: Score up to which documents are not ranked.

        Returns:
            float64 (B,), in [0, 1]; 0 where nothing is ranked.
        """
        depth = min(self.cutoff or scores.shape[1], scores.shape[1])
        return self.of_ranked(ranked_gains(scores, columns, gains, depth, floor), judged)

    def of_ranked(self, ranked: Array, judged: Array) -> Array:
        """The metric of rankings whose gains are known, so that several metrics share them.

        Args:
            ranked: Result of :func:`ranked_gains`, as deep as the cut-off or the pool.
            judged: As when called.

        Returns:
            float64 (B,), in [0, 1].
        """
        return _MEASURES[self.measure](ranked[:, : self.cutoff], judged, self.cutoff)


def parse_metric(name: str) -> Metric:
    """Parse a metric's name.

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
    names = [form.replace("k", str(cutoff)) for form in _FORMS] if cutoff else list(_FORMS)
    raise TaskError(f"{unknown_name('metric', name, names)} (k is a positive integer)")


def ranked_gains(scores: Scores, columns: NDArray[np.int64], gains: Array, depth: int, floor: float = -np.inf) -> Array:
    """Gains of the documents at ranks 1 to ``depth``, ranked by (-score, column).

    Where few documents have a gain nothing is sorted: only they need a rank, one more than the number of documents
    ahead. On one pool these are counted one document at a time for all rankings, which is fastest on column-major
    scores.

    Args:
        scores: float32 or float64 (B, P).
        columns: Columns of the documents that have a gain, (B, R), padded with any column; (1, R) where all rankings
            are of one pool.
        gains: Gains of these documents, shaped like the columns, padded with 0.
        depth: Number of ranks, in 1 .. P.
        floor: Score up to which documents are not ranked.

    Returns:
        float64 (B, depth); 0 for a rank with a document without gain, or with none.

    >>> ranked_gains(np.array([[5.0, 7.0, 7.0, -np.inf]]), np.array([[2, 3]]), np.array([[0.1, 1.0]]), 3)
    array([[0. , 0.1, 0. ]])
    """
    batch = len(scores)
    rows = np.arange(batch)
    ranked = np.zeros((depth + 1, batch))  # the last row takes those that rank lower, or not at all
    cells = ranked.reshape(-1)
    if len(columns) == 1 and batch > 1 and columns.shape[1] <= _COUNTED_AT_ONCE:
        for (own, place), gain in zip(_ahead_in_one_pool(scores, columns[0]), gains[0].tolist(), strict=True):
            if gain > 0:
                place[own <= floor] = depth
                np.minimum(place, depth, out=place)
                place *= batch
                place += rows
                cells[place] = gain
    else:
        columns = np.broadcast_to(columns, (batch, columns.shape[1]))
        ahead = _ahead_by_sorting if columns.shape[1] > _COUNTED else _ahead
        places = np.minimum(ahead(scores, columns), depth)
        places[np.less_equal(np.take_along_axis(scores, columns, axis=1), floor) | (gains <= 0)] = depth
        cells[places * batch + rows[:, None]] = gains
    return ranked[:depth].T


def _ahead(scores: Scores, columns: NDArray[np.int64]) -> NDArray[np.intp]:
    """Number of documents that rank ahead of those in the columns (B, R): (B, R)."""
    ahead = np.empty(columns.shape, dtype=np.intp)
    position = np.arange(scores.shape[1])
    block = max(1, _COMPARED // max(1, columns.shape[1] * scores.shape[1]))
    for first in range(0, len(scores), block):
        some = slice(first, first + block)
        every, own = scores[some, None, :], np.take_along_axis(scores[some], columns[some], axis=1)[..., None]
        before = np.greater(every, own) | (np.equal(every, own) & (position < columns[some, :, None]))
        ahead[some] = np.count_nonzero(before, axis=2)
    return ahead


def _ahead_by_sorting(scores: Scores, columns: NDArray[np.int64]) -> NDArray[np.intp]:
    """As :func:`_ahead`, by the place of every document."""
    order = np.argsort(-scores, axis=1, kind="stable")
    places = np.empty_like(order)
    np.put_along_axis(places, order, np.broadcast_to(np.arange(scores.shape[1]), scores.shape), axis=1)
    return np.take_along_axis(places, columns, axis=1)


def _ahead_in_one_pool(scores: Scores, columns: NDArray[np.int64]) -> Iterator[tuple[Scores, NDArray[np.intp]]]:
    """Scores (B,) of each column (R,), and the number of documents that rank ahead of it (B,)."""
    by_document = scores.T if scores.strides[0] == scores.itemsize else np.ascontiguousarray(scores.T)
    marks = np.empty(by_document.shape, dtype=np.bool_)
    for column in columns.tolist():
        own: Scores = by_document[column]
        np.greater_equal(by_document[:column], own, out=marks[:column])
        np.greater(by_document[column:], own, out=marks[column:])
        yield own, _count(marks)


def _count(marks: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Number of marks in each column of (P, B): (B,). Up to 255 rows are added in a byte, which is fastest."""
    counts: NDArray[np.intp] = np.add.reduce(marks[:_BYTE].view(np.uint8), axis=0, dtype=np.uint8).astype(np.intp)
    for first in range(_BYTE, len(marks), _BYTE):
        counts += np.add.reduce(marks[first : first + _BYTE].view(np.uint8), axis=0, dtype=np.uint8)
    return counts


def ranking(scores: Array) -> list[NDArray[np.intp]]:
    """Columns of each row of scores (B, P), best first, ties in the order of the columns, without those of -inf."""
    order = np.argsort(-scores, axis=1, kind="stable")
    sizes = np.count_nonzero(scores > -np.inf, axis=1)
    return [row[:size] for row, size in zip(order, sizes.tolist(), strict=True)]


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
    relevant = ranked >= FULL_GAIN
    precisions = relevant * np.cumsum(relevant, axis=1) / np.arange(1, ranked.shape[1] + 1)
    return _share(np.add.accumulate(precisions, axis=1)[:, -1], _relevant(judged))


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

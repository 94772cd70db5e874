"""Candidate pools and judgements of all queries as flat arrays, gathered into padded batches."""

from typing import TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from envs_data import PreparedData
from ospo_env.errors import TaskError

__all__ = ["CandidatePools", "own_document_rows"]

_Number = TypeVar("_Number", np.int32, np.int64, np.float64)


def own_document_rows(data: PreparedData) -> NDArray[np.int32]:
    """For each query the row of the document that is the query itself, and is never ranked for it; -1 for none.

    Args:
        data: A prepared data set.

    Returns:
        int32 (Q,), in the order of ``data.queries``.
    """
    return data.own_documents.cast(pl.Int32).fill_null(-1).to_numpy()


class CandidatePools:
    """Pools and judgements of all queries; queries are named by their row in ``data.queries``.

    A query's own document (:func:`own_document_rows`) is in no pool of it.

    Attributes:
        corpus_size: Documents of the corpus.
        own_rows: Row of each query's own document, int32 (Q,), -1 for none.
        has_own_rows: Whether any query has one.

    Args:
        data: A prepared data set.

    Raises:
        TaskError: A pool is empty or not in ascending order of document rows, on which the tie rule rests, or a
            document was judged twice for one query.
    """

    def __init__(self, data: PreparedData) -> None:
        documents = self.corpus_size = data.documents.height
        self.own_rows = own_document_rows(data)
        self.has_own_rows = bool((self.own_rows >= 0).any())
        sizes = data.pools["doc_rows"].list.len().fill_null(0).to_numpy().astype(np.int64)
        self._rows = data.pools["doc_rows"].explode(empty_as_null=False).drop_nulls().to_numpy().astype(np.int32)
        others = self._rows != np.repeat(self.own_rows, sizes)
        sizes = np.bincount(np.repeat(np.arange(len(sizes)), sizes)[others], minlength=len(sizes))
        self._rows, self._starts = self._rows[others], np.concatenate([[0], np.cumsum(sizes)])
        if not sizes.all():
            raise TaskError(f"query {data.queries['query_id'][int(np.argmin(sizes))]!r} has an empty candidate pool")
        # one number a (query, document), so that all pools are searched at once
        pooled = np.repeat(np.arange(len(sizes)), sizes) * documents + self._rows
        if (np.diff(pooled) <= 0).any():
            raise TaskError("expected every candidate pool in ascending order of document rows, without repetition")
        queries = data.queries.select("query_id").with_row_index("row")
        qrels = data.qrels.join(queries, on="query_id", how="inner")
        qrels = qrels.sort("row", "gain", "doc_row", descending=[False, True, False])
        query, gains = qrels["row"].to_numpy().astype(np.int64), qrels["gain"].to_numpy()
        judged = query * documents + qrels["doc_row"].to_numpy().astype(np.int64)
        if not np.diff(np.sort(judged)).all():
            raise TaskError("expected one judgement a query and document; the qrels hold some twice")
        self._judged, self._judged_rows = gains, qrels["doc_row"].to_numpy().astype(np.int32)
        self._judged_starts = np.searchsorted(query, np.arange(len(sizes) + 1))
        place = np.searchsorted(pooled, judged)
        inside = (place < len(pooled)) & (pooled[np.minimum(place, len(pooled) - 1)] == judged)
        bearing = np.flatnonzero(inside & (gains > 0))
        self._gains = gains[bearing]
        self._columns = place[bearing] - self._starts[query[bearing]]
        self._bearing_starts = np.searchsorted(query[bearing], np.arange(len(sizes) + 1))

    def size(self, query: int) -> int:
        """Documents in the pool of a query, at least 1."""
        return int(self._starts[query + 1] - self._starts[query])

    def documents(self, query: int) -> NDArray[np.int32]:
        """Document rows of the pool of a query, ascending (P,)."""
        return self._rows[self._starts[query] : self._starts[query + 1]]

    def document_batch(self, queries: NDArray[np.int64]) -> NDArray[np.int32]:
        """Document rows (B, P) of the pools of B queries, each ascending and then padded with -1."""
        return _gather(self._rows, self._starts, queries, -1)

    def gain_batch(self, queries: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Columns and gains, both (B, R), of the documents of each pool that have a gain; padded with 0."""
        return (
            _gather(self._columns, self._bearing_starts, queries, 0),
            _gather(self._gains, self._bearing_starts, queries, 0.0),
        )

    def judged_documents(self, query: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Rows and gains (J,) of all judged documents of a query, in its pool or not, by descending gain."""
        cells = slice(self._judged_starts[query], self._judged_starts[query + 1])
        return self._judged_rows[cells], self._judged[cells]

    def judged_batch(self, queries: NDArray[np.int64]) -> NDArray[np.float64]:
        """Gains (B, J) of all judged documents of each query, in its pool or not, descending, padded with 0."""
        return _gather(self._judged, self._judged_starts, queries, 0.0)


def _gather(
    flat: NDArray[_Number], starts: NDArray[np.int64], queries: NDArray[np.int64], padding: float
) -> NDArray[_Number]:
    sizes = starts[queries + 1] - starts[queries]
    columns = np.arange(sizes.max(initial=0))
    inside = columns < sizes[:, None]
    out = np.full(inside.shape, padding, dtype=flat.dtype)
    out[inside] = flat[(starts[queries][:, None] + columns)[inside]]
    return out

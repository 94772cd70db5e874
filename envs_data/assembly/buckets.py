"""Inverted buckets (value -> document rows), from which pools draw their negatives."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["SharedValues", "named_values", "places_within", "shared_values", "sorted_once", "whole_corpus"]

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class SharedValues:
    """Buckets of documents, and those from which each query may draw.

    Attributes:
        rows: Document rows of all buckets, one bucket after the other: int64 (E,).
        starts: Bucket v is ``rows[starts[v]:starts[v + 1]]``: int64 (V + 1,).
        queries: Query of each key, ascending; of one query the smallest buckets come first: int64 (K,).
        values: Bucket of each key: int64 (K,).
    """

    rows: Ints
    starts: Ints
    queries: Ints
    values: Ints


def shared_values(rows: Ints, values: Ints, target_queries: Ints, target_rows: Ints) -> SharedValues:
    """Group documents by value; a query may draw from the values of its targets.

    Args:
        rows: Document row of each (document, value) pair, no pair twice: (E,).
        values: Value of each pair, as a small non-negative code: (E,). A document may have several values or none.
        target_queries: Query number of each (query, full-gain document) pair: (T,).
        target_rows: Document row of each such pair: (T,).

    Returns:
        The buckets and, for each query, the values of its targets, the rarest first.

    >>> same = shared_values(np.array([0, 1, 2]), np.array([0, 1, 0]), np.array([0]), np.array([2]))
    >>> same.rows[same.starts[same.values[0]] : same.starts[same.values[0] + 1]].tolist()
    [0, 2]
    """
    rows, values = np.asarray(rows, dtype=np.int64), np.asarray(values, dtype=np.int64)
    by_row = np.lexsort((values, rows))
    first = np.searchsorted(rows[by_row], target_rows, side="left")
    count = np.searchsorted(rows[by_row], target_rows, side="right") - first
    key_queries = np.repeat(np.asarray(target_queries, dtype=np.int64), count)
    key_values = values[by_row][np.repeat(first, count) + places_within(count)]
    return named_values(rows, values, key_queries, key_values)


def named_values(rows: Ints, values: Ints, key_queries: Ints, key_values: Ints) -> SharedValues:
    """Group documents by value; a query may draw from the values that it names itself.

    Args:
        rows: As in :func:`shared_values`.
        values: As in :func:`shared_values`.
        key_queries: Query number of each (query, value) pair: (K,).
        key_values: Value of each such pair; pairs may repeat: (K,).

    Returns:
        The buckets and, for each query, its values, the rarest first.
    """
    n_values = int(values.max(initial=-1)) + 1
    by_value = np.lexsort((rows, values))
    starts = np.concatenate(([0], np.cumsum(np.bincount(values, minlength=n_values)))).astype(np.int64)
    keys = sorted_once(key_queries * n_values + key_values)
    key_queries, key_values = keys // max(n_values, 1), keys % max(n_values, 1)
    order = np.lexsort((key_values, np.diff(starts)[key_values], key_queries))
    return SharedValues(rows[by_value], starts, key_queries[order], key_values[order])


def whole_corpus(n_queries: int, n_documents: int) -> SharedValues:
    """One bucket with every document, from which every query may draw."""
    return SharedValues(
        np.arange(n_documents),
        np.array([0, n_documents]),
        np.arange(n_queries),
        np.zeros(n_queries, dtype=np.int64),
    )


def places_within(counts: Ints) -> Ints:
    """0, 1, ..., c - 1 for each c of ``counts``, one after the other."""
    return np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)


def sorted_once(numbers: Ints) -> Ints:
    """Distinct numbers, ascending; ``np.unique``, which hashes, takes ten times as long."""
    ordered = np.sort(numbers)
    once: Ints = ordered[np.diff(ordered, prepend=ordered[:1] - 1) != 0]
    return once

"""Candidate pools: all judged documents of a query and negatives of three kinds, 5 hard : 3 related : 2 random.

A data set says what hard and related mean by giving documents *values* (title words, a brand, a product type): a
document that shares a value with one of the query's full-gain documents is a candidate. Documents are found
through inverted buckets (value -> rows), so no query scans the corpus.

A place for a hard negative that no document can fill goes to a related one, a place for a related one to a random
one; both are counted. All sampling is without replacement, and judged documents are never negatives.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from envs_data.errors import DataError
from envs_data.splits import check_whole_number

__all__ = ["SharedValues", "build_pools", "check_pool_size", "named_values", "shared_values"]

MAX_POOL_SIZE = 10_000
_TENTHS = (5, 3, 2)
_BLOCK = 8_192  # queries sampled at once: bounds memory, and keeps sorts inside the cache

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class SharedValues:
    """Which buckets of documents each query may draw from.

    Attributes:
        rows: Document rows of all buckets, one bucket after the other: int64 (E,).
        starts: Bucket v is ``rows[starts[v]:starts[v + 1]]``: int64 (V + 1,).
        queries: Query of each key, ascending; a query's smallest buckets come first: int64 (K,).
        values: Bucket of each key: int64 (K,).
    """

    rows: Ints
    starts: Ints
    queries: Ints
    values: Ints


def check_pool_size(pool_size: int) -> None:
    """Check that a pool size is a whole number from 2 to 10,000.

    Raises:
        DataError: It is not.
    """
    check_whole_number("pool size", pool_size, 2, MAX_POOL_SIZE)


def shared_values(rows: Ints, values: Ints, target_queries: Ints, target_rows: Ints) -> SharedValues:
    """Buckets of the documents that share a value with a query's targets.

    Args:
        rows: Document row of each (document, value) pair, no pair twice: (E,).
        values: Value of each pair, small non-negative codes: (E,). A document may have several values or none.
        target_queries: Query number of each (query, full-gain document) pair: (T,).
        target_rows: Document row of each such pair: (T,).

    Returns:
        The buckets and, for each query, the values of its targets, rarest first.

    >>> same = shared_values(np.array([0, 1, 2]), np.array([0, 1, 0]), np.array([0]), np.array([2]))
    >>> same.rows[same.starts[same.values[0]] : same.starts[same.values[0] + 1]].tolist()
    [0, 2]
    """
    rows, values = np.asarray(rows, dtype=np.int64), np.asarray(values, dtype=np.int64)
    by_row = np.lexsort((values, rows))
    first = np.searchsorted(rows[by_row], target_rows, side="left")
    count = np.searchsorted(rows[by_row], target_rows, side="right") - first
    key_queries = np.repeat(np.asarray(target_queries, dtype=np.int64), count)
    key_values = values[by_row][np.repeat(first, count) + _places(count)]
    return named_values(rows, values, key_queries, key_values)


def named_values(rows: Ints, values: Ints, key_queries: Ints, key_values: Ints) -> SharedValues:
    """Buckets of the documents that have a value which a query names itself.

    Args:
        rows: As in :func:`shared_values`.
        values: As in :func:`shared_values`.
        key_queries: Query number of each (query, value) pair: (K,).
        key_values: Value of each such pair; pairs may repeat: (K,).

    Returns:
        The buckets and, for each query, its values, rarest first.
    """
    n_values = int(values.max(initial=-1)) + 1
    by_value = np.lexsort((rows, values))
    starts = np.concatenate(([0], np.cumsum(np.bincount(values, minlength=n_values)))).astype(np.int64)
    keys = _sorted_once(key_queries * n_values + key_values)
    key_queries, key_values = keys // max(n_values, 1), keys % max(n_values, 1)
    order = np.lexsort((key_values, np.diff(starts)[key_values], key_queries))
    return SharedValues(rows[by_value], starts, key_queries[order], key_values[order])


def build_pools(
    query_ids: pl.Series,
    n_documents: int,
    judged_queries: Ints,
    judged_rows: Ints,
    *,
    hard: SharedValues,
    related: SharedValues,
    pool_size: int,
    rng: np.random.Generator,
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Pools of all queries: every judged document, then negatives up to ``pool_size``.

    Of the N = ``pool_size`` - judged places of a query, 5/10 are for hard, 3/10 for related, 2/10 for random negatives
    (running totals rounded to the nearest). A query with more judged documents than ``pool_size`` keeps them all.

    Args:
        query_ids: Names of the queries, str (Q,); queries are numbered by their position here.
        n_documents: Documents of the corpus, D.
        judged_queries: Query number of each (query, judged document) pair, no pair twice: (J,).
        judged_rows: Document row in [0, D) of each such pair: (J,).
        hard: Where hard negatives come from.
        related: Where related negatives come from.
        pool_size: Documents wanted in a pool, P, from 2 to 10,000.
        rng: Source of randomness.

    Returns:
        The pools (``query_id``, ``doc_rows`` ascending; one row a query, in the order of ``query_ids``), and counts:
        ``pool_judged``, ``pool_hard``, ``pool_related`` and ``pool_random`` documents over all pools;
        ``pool_hard_missing`` places for hard and ``pool_related_missing`` places for related negatives (those passed
        on from hard included) that fell to the next kind; ``pool_places_empty`` because the corpus has no more
        documents; ``pools_oversize`` with more than P judged documents.

    Raises:
        DataError: ``pool_size`` is out of range, or a query has no judged document.
    """
    check_pool_size(pool_size)
    n_queries = len(query_ids)
    judged = np.sort(np.asarray(judged_queries, dtype=np.int64) * n_documents + judged_rows)
    if np.bincount(judged // n_documents, minlength=n_queries).min(initial=1) == 0:
        raise DataError("every query needs a judged document in the corpus")
    everything = _whole_corpus(n_queries, n_documents)
    tiers = {"hard": hard, "related": related, "random": everything}
    counts = dict.fromkeys(["pool_judged", "pool_hard", "pool_hard_missing", "pool_related"], 0)
    counts |= dict.fromkeys(["pool_related_missing", "pool_random", "pool_places_empty", "pools_oversize"], 0)
    pools = []
    for start in range(0, n_queries, _BLOCK):
        stop = min(start + _BLOCK, n_queries)
        low, high = np.searchsorted(judged, [start * n_documents, stop * n_documents])
        taken = judged[low:high]
        n_judged = np.bincount(taken // n_documents - start, minlength=stop - start)
        counts["pool_judged"] += len(taken)
        counts["pools_oversize"] += int((n_judged > pool_size).sum())
        missing = np.zeros(stop - start, dtype=np.int64)
        for (name, tier), places in zip(tiers.items(), _places_by_kind(pool_size - n_judged), strict=True):
            wanted = places + missing
            chosen = _draw(tier, start, wanted, taken, n_documents, rng)
            missing = wanted - np.bincount(chosen // n_documents - start, minlength=stop - start)
            taken = np.sort(np.concatenate((taken, chosen)))
            counts[f"pool_{name}"] += len(chosen)
            counts["pool_places_empty" if name == "random" else f"pool_{name}_missing"] += int(missing.sum())
        pools.append(taken)
    members = np.concatenate(pools) if pools else judged
    table = pl.DataFrame({"query": members // n_documents, "doc_rows": (members % n_documents).astype(np.uint32)})
    lists = table.group_by("query", maintain_order=True).agg("doc_rows")
    return lists.select(query_ids.alias("query_id"), "doc_rows"), counts


def _places_by_kind(negatives: Ints) -> list[Ints]:
    """Places for each kind of negative, from running totals rounded half up; none where ``negatives`` < 0."""
    totals = [(np.maximum(negatives, 0) * tenths + 5) // 10 for tenths in np.cumsum(_TENTHS)]
    return [totals[0], totals[1] - totals[0], totals[2] - totals[1]]


def _draw(
    tier: SharedValues, start: int, wanted: Ints, taken: Ints, n_documents: int, rng: np.random.Generator
) -> Ints:
    """Up to ``wanted`` new documents for each query of a block, from the smallest buckets first.

    Args:
        tier: Buckets and keys.
        start: Number of the block's first query.
        wanted: Documents wanted by each query of the block, (B,).
        taken: Sorted codes (query * n_documents + row) of what the block's pools hold already.
        n_documents: Documents of the corpus.
        rng: Source of randomness.

    Returns:
        Codes of the documents chosen: fewer than wanted only where a query's buckets hold no more.
    """
    low, high = np.searchsorted(tier.queries, [start, start + len(wanted)])
    queries, values = tier.queries[low:high] - start, tier.values[low:high]
    sizes = tier.starts[values + 1] - tier.starts[values]
    chosen: list[Ints] = []
    while len(queries):
        held = np.bincount(taken // n_documents - start, minlength=len(wanted))
        # A bucket with wanted + held documents is enough alone, whatever of it is taken already.
        enough = (wanted + held)[queries]
        before = _running_total(np.minimum(sizes, enough), queries)
        now = (wanted[queries] > 0) & (before < enough)
        if not now.any():
            break
        count = np.minimum(sizes, enough)[now]
        places = np.repeat(tier.starts[values[now]], count) + _walk(sizes[now], count, rng)
        found = _sorted_once((np.repeat(queries[now], count) + start) * n_documents + tier.rows[places])
        found = found[~_contains(taken, found)]
        found = found[_first_at_random(found // n_documents - start, wanted, rng)]
        chosen.append(found)
        wanted = wanted - np.bincount(found // n_documents - start, minlength=len(wanted))
        taken = np.sort(np.concatenate((taken, found)))
        queries, values, sizes = queries[~now], values[~now], sizes[~now]
    return np.concatenate(chosen) if chosen else np.empty(0, dtype=np.int64)


def _walk(sizes: Ints, counts: Ints, rng: np.random.Generator) -> Ints:
    """For each bucket, ``counts`` distinct positions in [0, size): (start + i * stride) mod size, stride coprime to it.

    Start and stride are drawn for each, so every position is equally likely and no bucket is shuffled or scanned.
    """
    starts, strides = rng.integers(0, sizes), rng.integers(1, sizes + 1)
    while (bad := np.flatnonzero(np.gcd(strides, sizes) > 1)).size:
        strides[bad] = rng.integers(1, sizes[bad] + 1)
    walk: Ints = (np.repeat(starts, counts) + _places(counts) * np.repeat(strides, counts)) % np.repeat(sizes, counts)
    return walk


def _first_at_random(groups: Ints, wanted: Ints, rng: np.random.Generator) -> Ints:
    """Indices of at most ``wanted[g]`` members of each group g, drawn at random; ``groups`` ascending."""
    order = np.lexsort((rng.random(len(groups)), groups))
    counts = np.bincount(groups, minlength=len(wanted))
    return np.sort(order[_places(counts) < np.repeat(wanted, counts)])


def _places(counts: Ints) -> Ints:
    """0, 1, ..., c - 1 for each c of ``counts``, one after the other."""
    return np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)


def _running_total(amounts: Ints, groups: Ints) -> Ints:
    """Sum of the amounts that stand before each one in its group; ``groups`` ascending."""
    before = np.cumsum(amounts) - amounts
    counts = np.bincount(groups)
    first = np.cumsum(counts) - counts
    base: Ints = before[first[groups]]
    return before - base


def _sorted_once(numbers: Ints) -> Ints:
    """Each number once, ascending; ``np.unique``, which hashes, takes ten times as long."""
    ordered = np.sort(numbers)
    once: Ints = ordered[np.diff(ordered, prepend=ordered[:1] - 1) != 0]
    return once


def _contains(ordered: Ints, wanted: Ints) -> NDArray[np.bool_]:
    """Whether each wanted number is in an ascending array."""
    place = np.minimum(np.searchsorted(ordered, wanted), max(len(ordered) - 1, 0))
    return ordered[place] == wanted if len(ordered) else np.zeros(len(wanted), dtype=np.bool_)


def _whole_corpus(n_queries: int, n_documents: int) -> SharedValues:
    """One bucket that holds every document, open to every query."""
    return SharedValues(
        np.arange(n_documents),
        np.array([0, n_documents]),
        np.arange(n_queries),
        np.zeros(n_queries, dtype=np.int64),
    )

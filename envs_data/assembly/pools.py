"""Candidate pools: all judged documents of a query, and negatives of three kinds, 5 hard : 3 related : 2 random.

A data set defines hard and related negatives by giving documents *values* (title words, a brand, a product type): a
document that shares a value with one of the query's full-gain documents is a candidate. Inverted buckets
(value -> rows) give the candidates, so no query scans the corpus.

If no document can fill the place of a hard negative, a related one takes it; a random one takes the empty place of a
related one. Both are counted. Sampling is without replacement, and judged documents are never negatives.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from envs_data.assembly.buckets import SharedValues, places_within, sorted_once, whole_corpus
from envs_data.errors import DataError
from envs_data.splits import check_whole_number

__all__ = ["build_pools", "check_pool_size"]

MAX_POOL_SIZE = 10_000
_TENTHS = (5, 3, 2)
_BLOCK = 8_192  # queries sampled at once, which bounds memory and keeps sorts inside the processor's cache

Ints = NDArray[np.int64]


def check_pool_size(pool_size: int) -> None:
    """Check that a pool size is a whole number from 2 to 10,000.

    Raises:
        DataError: The size is another value.
    """
    check_whole_number("pool size", pool_size, 2, MAX_POOL_SIZE)


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
    exclusions: tuple[Ints, Ints] | None = None,
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Make the pools of all queries: every judged document, then negatives up to ``pool_size``.

    A query has N = ``pool_size`` - judged places: 5/10 for hard, 3/10 for related, 2/10 for random negatives (running
    totals rounded to the nearest). A query with more judged documents than ``pool_size`` keeps them all.

    Args:
        query_ids: Ids of the queries, str (Q,); a query's number is its position here.
        n_documents: Number of documents of the corpus, D.
        judged_queries: Query number of each (query, judged document) pair, no pair twice: (J,).
        judged_rows: Document row in [0, D) of each such pair: (J,).
        hard: Buckets of hard negatives.
        related: Buckets of related negatives.
        pool_size: Number of documents of a pool, P, from 2 to 10,000.
        rng: Source of randomness.
        exclusions: Query number, ascending, and row of each pair that no pool may hold; none of them is judged.

    Returns:
        The pools (``query_id``, ``doc_rows`` ascending; one row a query, in the order of ``query_ids``), and counts:
        ``pool_judged``, ``pool_hard``, ``pool_related`` and ``pool_random``: documents over all pools;
        ``pool_hard_missing`` and ``pool_related_missing``: places for hard and related negatives (for the latter
        including those passed on) that the next kind took; ``pool_places_empty``: places left empty because the
        corpus has no more documents; ``pools_oversize``: pools with more than P judged documents.

    Raises:
        DataError: ``pool_size`` is out of range, or a query has no judged document.
    """
    check_pool_size(pool_size)
    n_queries = len(query_ids)
    judged = np.sort(np.asarray(judged_queries, dtype=np.int64) * n_documents + judged_rows)
    if np.bincount(judged // n_documents, minlength=n_queries).min(initial=1) == 0:
        raise DataError("every query needs a judged document in the corpus")
    excluded = np.empty(0, dtype=np.int64) if exclusions is None else exclusions[0] * n_documents + exclusions[1]
    kinds = {"hard": hard, "related": related, "random": whole_corpus(n_queries, n_documents)}
    counts = dict.fromkeys(["pool_judged", "pool_hard", "pool_hard_missing", "pool_related"], 0)
    counts |= dict.fromkeys(["pool_related_missing", "pool_random", "pool_places_empty", "pools_oversize"], 0)
    pools = []
    for start in range(0, n_queries, _BLOCK):
        stop = min(start + _BLOCK, n_queries)
        low, high = np.searchsorted(judged, [start * n_documents, stop * n_documents])
        members = judged[low:high]
        low, high = np.searchsorted(excluded, [start * n_documents, stop * n_documents])
        n_judged = np.bincount(members // n_documents - start, minlength=stop - start)
        counts["pool_judged"] += len(members)
        counts["pools_oversize"] += int((n_judged > pool_size).sum())
        shortfall = np.zeros(stop - start, dtype=np.int64)
        for (name, buckets), share in zip(kinds.items(), _places_by_kind(pool_size - n_judged), strict=True):
            demand = share + shortfall
            unavailable = np.sort(np.concatenate((members, excluded[low:high])))
            negatives = _draw(buckets, start, demand, unavailable, n_documents, rng)
            shortfall = demand - np.bincount(negatives // n_documents - start, minlength=stop - start)
            members = np.sort(np.concatenate((members, negatives)))
            counts[f"pool_{name}"] += len(negatives)
            counts["pool_places_empty" if name == "random" else f"pool_{name}_missing"] += int(shortfall.sum())
        pools.append(members)
    codes = np.concatenate(pools) if pools else judged
    table = pl.DataFrame({"query": codes // n_documents, "doc_rows": (codes % n_documents).astype(np.uint32)})
    lists = table.group_by("query", maintain_order=True).agg("doc_rows")
    return lists.select(query_ids.alias("query_id"), "doc_rows"), counts


def _places_by_kind(negatives: Ints) -> list[Ints]:
    """Numbers of places for each kind of negative, from running totals rounded half up; 0 where ``negatives`` < 0."""
    totals = [(np.maximum(negatives, 0) * tenths + 5) // 10 for tenths in np.cumsum(_TENTHS)]
    return [totals[0], totals[1] - totals[0], totals[2] - totals[1]]


def _draw(
    buckets: SharedValues, start: int, demand: Ints, unavailable: Ints, n_documents: int, rng: np.random.Generator
) -> Ints:
    """Draw up to ``demand`` new documents for each query of a block, from its smallest buckets first.

    Args:
        buckets: Buckets and keys.
        start: Number of the block's first query.
        demand: Number of documents to draw for each query of the block, (B,).
        unavailable: Sorted codes (query * n_documents + row) of the documents that must not be drawn, a few a query.
        n_documents: Number of documents of the corpus.
        rng: Source of randomness.

    Returns:
        Codes of the documents drawn; fewer than the demand only if a query's buckets hold no more.
    """
    low, high = np.searchsorted(buckets.queries, [start, start + len(demand)])
    queries, values = buckets.queries[low:high] - start, buckets.values[low:high]
    sizes = buckets.starts[values + 1] - buckets.starts[values]
    draws: list[Ints] = []
    while len(queries):
        n_unavailable = np.bincount(unavailable // n_documents - start, minlength=len(demand))
        # A bucket of demand + n_unavailable documents is enough alone, whichever of them are unavailable.
        enough = (demand + n_unavailable)[queries]
        before = _running_total(np.minimum(sizes, enough), queries)
        in_round = (demand[queries] > 0) & (before < enough)
        if not in_round.any():
            break
        count = np.minimum(sizes, enough)[in_round]
        places = np.repeat(buckets.starts[values[in_round]], count) + _walk(sizes[in_round], count, rng)
        codes = sorted_once((np.repeat(queries[in_round], count) + start) * n_documents + buckets.rows[places])
        codes = codes[~_contains(unavailable, codes)]
        codes = codes[_first_at_random(codes // n_documents - start, demand, rng)]
        draws.append(codes)
        demand = demand - np.bincount(codes // n_documents - start, minlength=len(demand))
        unavailable = np.sort(np.concatenate((unavailable, codes)))
        queries, values, sizes = queries[~in_round], values[~in_round], sizes[~in_round]
    return np.concatenate(draws) if draws else np.empty(0, dtype=np.int64)


def _walk(sizes: Ints, counts: Ints, rng: np.random.Generator) -> Ints:
    """Draw ``counts`` distinct positions in [0, size) of each bucket: (start + i * stride) mod size, stride coprime.

    Start and stride are drawn for each bucket, so every position is equally likely and none is shuffled or scanned.
    """
    starts, strides = rng.integers(0, sizes), rng.integers(1, sizes + 1)
    while (rejects := np.flatnonzero(np.gcd(strides, sizes) > 1)).size:
        strides[rejects] = rng.integers(1, sizes[rejects] + 1)
    walk: Ints = (np.repeat(starts, counts) + places_within(counts) * np.repeat(strides, counts)) % np.repeat(
        sizes, counts
    )
    return walk


def _first_at_random(groups: Ints, demand: Ints, rng: np.random.Generator) -> Ints:
    """Draw indices of at most ``demand[g]`` members of each group g; ``groups`` ascending."""
    order = np.lexsort((rng.random(len(groups)), groups))
    counts = np.bincount(groups, minlength=len(demand))
    return np.sort(order[places_within(counts) < np.repeat(demand, counts)])


def _running_total(amounts: Ints, groups: Ints) -> Ints:
    """Sum of the amounts before each one in its group; ``groups`` ascending."""
    before = np.cumsum(amounts) - amounts
    counts = np.bincount(groups)
    first = np.cumsum(counts) - counts
    base: Ints = before[first[groups]]
    return before - base


def _contains(ordered: Ints, numbers: Ints) -> NDArray[np.bool_]:
    """Whether each number is in an ascending array."""
    place = np.minimum(np.searchsorted(ordered, numbers), max(len(ordered) - 1, 0))
    return ordered[place] == numbers if len(ordered) else np.zeros(len(numbers), dtype=np.bool_)

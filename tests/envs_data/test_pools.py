"""Candidate pools: what is in them, in which proportion, and what is counted when buckets run dry."""

import numpy as np
import polars as pl
import pytest

from envs_data import DataError
from envs_data.assembly import pools as module
from envs_data.assembly.buckets import shared_values
from envs_data.assembly.pools import build_pools
from envs_data.splits import random_stream, shuffle_within_splits, split_labels

NO_VALUES = (np.array([], dtype=np.int64), np.array([], dtype=np.int64))


def build(judged, hard=NO_VALUES, related=NO_VALUES, *, documents=1000, pool_size=100, seed=0, exclusions=None):
    """Pools for ``judged``: a list of judged rows for each query; ``hard``, ``related``: (rows, values) pairs."""
    queries = np.repeat(np.arange(len(judged)), [len(rows) for rows in judged])
    rows = np.array([row for each in judged for row in each], dtype=np.int64)
    table, counts = build_pools(
        pl.Series("query_id", [f"q{i}" for i in range(len(judged))], dtype=pl.String),
        documents,
        queries,
        rows,
        hard=shared_values(*hard, queries, rows),
        related=shared_values(*related, queries, rows),
        pool_size=pool_size,
        rng=np.random.default_rng(seed),
        exclusions=exclusions,
    )
    return [np.array(rows) for rows in table["doc_rows"].to_list()], counts, table


def blocks(*sizes):
    """(rows, values) of documents 0, 1, ... in runs that share a value."""
    values = np.repeat(np.arange(len(sizes)), sizes)
    return np.arange(len(values)), values


def holds_all(pools, judged):
    return all(set(rows) <= set(pool.tolist()) for pool, rows in zip(pools, judged, strict=True))


def test_all_judged_documents_are_in_the_pool():
    rng = np.random.default_rng(1)
    judged = [rng.choice(1000, size, replace=False).tolist() for size in rng.integers(1, 60, 50)]
    pools, counts, table = build(judged, blocks(*[20] * 50), blocks(*[100] * 10))
    assert holds_all(pools, judged)
    assert counts["pool_judged"] == sum(map(len, judged))
    assert table["query_id"].to_list() == [f"q{i}" for i in range(50)]
    for pool in pools:
        assert len(pool) == 100
        assert (np.diff(pool) > 0).all()  # ascending, none twice
        assert pool[0] >= 0
        assert pool[-1] < 1000
    thinned = [pool[pool != rows[0]] for pool, rows in zip(pools, judged, strict=True)]
    assert not holds_all(thinned, judged)


def test_negatives_are_five_hard_three_related_two_random():
    """Hard candidates are rows 0 to 199, related ones 200 to 399; random ones may fall anywhere."""
    hard = blocks(200)
    related = np.concatenate(([0], np.arange(200, 400))), np.zeros(201, dtype=np.int64)
    pools, counts, _ = build([[0]] * 40, hard, related)
    assert (counts["pool_hard"], counts["pool_related"], counts["pool_random"]) == (40 * 50, 40 * 29, 40 * 20)
    assert counts["pool_hard_missing"] == counts["pool_related_missing"] == counts["pool_places_empty"] == 0

    def enough(pool, first, last, least):
        return ((pool >= first) & (pool < last)).sum() >= least

    assert all(enough(pool, 1, 200, 50) and enough(pool, 200, 400, 29) for pool in pools)
    swapped, _, _ = build([[0]] * 40, related, hard)
    assert not any(enough(pool, 1, 200, 50) for pool in swapped)


@pytest.mark.parametrize(("negatives", "places"), [(0, (0, 0, 0)), (1, (1, 0, 0)), (10, (5, 3, 2)), (97, (49, 29, 19))])
def test_places_by_kind(negatives, places):
    assert tuple(int(kind[0]) for kind in module._places_by_kind(np.array([negatives]))) == places


def test_shortfalls_are_filled_and_counted():
    pools, counts, _ = build([[0]], hard=blocks(4), related=blocks(11), pool_size=41)  # 40 negatives: 20, 12, 8
    assert {name: counts[name] for name in counts if name != "pool_judged"} == {
        "pool_hard": 3,
        "pool_hard_missing": 17,
        "pool_related": 7,  # rows 4 to 10: 1 to 3 are in the pool as hard ones
        "pool_related_missing": 22,
        "pool_random": 30,
        "pool_places_empty": 0,
        "pools_oversize": 0,
    }
    assert len(pools[0]) == 41
    assert set(range(11)) <= set(pools[0].tolist())


def test_excluded_documents_are_in_no_pool_and_places_are_filled_by_others(monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", 7)
    rng = np.random.default_rng(2)
    judged = [rng.choice(200, size, replace=False).tolist() for size in rng.integers(1, 10, 30)]
    excluded = [next(row for row in rng.permutation(200) if row not in rows) for rows in judged]
    queries = np.arange(30)[::2]
    exclusions = queries, np.array(excluded)[queries]
    arguments = blocks(*[20] * 10), blocks(*[100] * 2)
    pools, counts, _ = build(judged, *arguments, documents=200, pool_size=199, exclusions=exclusions)
    for number, pool in enumerate(pools):
        without = {excluded[number]} if number % 2 == 0 else set()
        assert without.isdisjoint(pool.tolist())
        assert len(pool) == 199
    assert holds_all(pools, judged)
    assert counts["pool_places_empty"] == 0
    plain, _, table = build(judged, *arguments, documents=200, pool_size=199)
    assert any(excluded[number] in plain[number] for number in queries)  # the negative control
    none = np.empty(0, dtype=np.int64)
    assert build(judged, *arguments, documents=200, pool_size=199, exclusions=(none, none))[2].equals(table)


def test_a_small_corpus_leaves_places_empty():
    pools, counts, _ = build([[2], [0, 1]], blocks(7), documents=7, pool_size=10)
    assert [pool.tolist() for pool in pools] == [list(range(7))] * 2
    assert counts["pool_places_empty"] == 6


def test_more_judged_documents_than_places_are_all_kept():
    pools, counts, _ = build([list(range(30)), [5]], pool_size=20)
    assert pools[0].tolist() == list(range(30))
    assert len(pools[1]) == 20
    assert counts["pools_oversize"] == 1


@pytest.mark.parametrize("seed", range(5))
def test_no_hard_place_is_given_away_while_a_bucket_has_a_document(seed, monkeypatch):
    """Against brute force: each pool's hard negatives are as many as wanted or as there are."""
    monkeypatch.setattr(module, "_BLOCK", 7)
    rng = np.random.default_rng(seed)
    documents, queries, pool_size = 120, 30, 40
    pairs = np.unique(np.column_stack((rng.integers(0, documents, 200), rng.integers(0, 60, 200))), axis=0)
    judged = [np.sort(rng.choice(documents, size, replace=False)).tolist() for size in rng.integers(1, 12, queries)]
    pools, counts, _ = build(judged, (pairs[:, 0], pairs[:, 1]), documents=documents, pool_size=pool_size, seed=seed)
    expected = 0
    for pool, rows in zip(pools, judged, strict=True):
        values = pairs[np.isin(pairs[:, 0], rows), 1]
        candidates = set(pairs[np.isin(pairs[:, 1], values), 0].tolist()) - set(rows)
        wanted = int(module._places_by_kind(np.array([pool_size - len(rows)]))[0][0])
        expected += min(wanted, len(candidates))
        assert len(candidates & set(pool.tolist())) >= min(wanted, len(candidates))
    assert counts["pool_hard"] == expected
    assert counts["pool_hard_missing"] > 0  # the case of interest occurs


def test_rare_values_come_first():
    """Rows 1 to 3 share a value with row 0 that four documents have, rows 1 to 99 one that a hundred have."""
    rows, values = np.concatenate((np.arange(100), np.arange(4))), np.repeat([0, 1], [100, 4])
    for seed in range(20):
        pools, _, _ = build([[0]], (rows, values), pool_size=7, seed=seed)  # six negatives, three of them hard
        assert {1, 2, 3} <= set(pools[0].tolist())
    only_common = [build([[0]], blocks(100), pool_size=7, seed=seed)[0][0] for seed in range(20)]
    assert not all({1, 2, 3} <= set(pool.tolist()) for pool in only_common)


def test_random_negatives_are_spread_evenly():
    queries, documents = 3000, 50
    pools, _, _ = build([[0]] * queries, documents=documents, pool_size=11)
    drawn = np.bincount(np.concatenate(pools), minlength=documents)[1:]
    share = 10 / (documents - 1)
    deviation = np.sqrt(queries * share * (1 - share))
    assert np.abs(drawn - queries * share).max() < 5 * deviation
    together = np.mean([7 in pool and 8 in pool for pool in pools])  # neighbours are no more alike than others
    np.testing.assert_allclose(together, share * 9 / (documents - 2), atol=0.02)


def test_walks_do_not_repeat():
    sizes = np.arange(1, 400)
    steps = module._walk(sizes, sizes, np.random.default_rng(0))
    ends = np.cumsum(sizes)
    for size, end in zip(sizes, ends, strict=True):
        assert sorted(steps[end - size : end].tolist()) == list(range(size))


def test_same_seed_same_pools_other_seed_others():
    judged = [[i] for i in range(20)]
    first, again, other = (build(judged, blocks(*[50] * 4), seed=seed)[2] for seed in (3, 3, 4))
    assert first.equals(again)
    assert not first.equals(other)


@pytest.mark.parametrize("pool_size", [1, 0, -5, 10_001, 2.5, True, None])
def test_bad_pool_size(pool_size):
    with pytest.raises(DataError, match="pool size must be a whole number from 2 to 10000"):
        build([[0]], pool_size=pool_size)


def test_a_query_without_judged_documents_is_an_error():
    with pytest.raises(DataError, match="every query needs a judged document"):
        build([[0], []])


def test_splits_have_the_sizes_asked_for_and_differ_by_seed():
    shares = {"train": 0.8, "validation": 0.1, "test": 0.1}
    labels = split_labels(1000, shares, random_stream(0, "splits"))
    assert {name: int((labels == name).sum()) for name in shares} == {"train": 800, "validation": 100, "test": 100}
    assert (labels != split_labels(1000, shares, random_stream(1, "splits"))).any()
    assert sorted(split_labels(3, shares, random_stream(0, "splits"))) == ["test", "train", "validation"]
    assert split_labels(2, shares, random_stream(0, "splits")).tolist() == ["train", "train"]
    assert len(split_labels(0, shares, random_stream(0, "splits"))) == 0


def test_queries_are_shuffled_within_splits():
    labels = np.repeat(["test", "train", "validation"], 30)
    order = shuffle_within_splits(labels, random_stream(0, "splits"))
    assert labels[order].tolist() == ["train"] * 30 + ["validation"] * 30 + ["test"] * 30
    assert sorted(order.tolist()) == list(range(90))
    assert order[:30].tolist() != sorted(order[:30].tolist())


@pytest.mark.parametrize("seed", [-1, 2**63, 1.5, "1", None])
def test_bad_seed(seed):
    with pytest.raises(DataError, match="seed must be a whole number from 0"):
        random_stream(seed, "splits")

"""The nearest of many vectors: exact where that is claimed, right products everywhere, ties by row."""

import pickle

import numpy as np
import pytest

from ospo_env.retrievers.base import best_rows
from ospo_env.retrievers.vectors import INDEX_KINDS, VectorIndex

UNIT = 2**24


def unit_vectors(count, seed, dimensions=16):
    """Clustered unit vectors times UNIT, some of them twice."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(8, dimensions))[rng.integers(8, size=count)] + 0.5 * rng.normal(size=(count, dimensions))
    vectors[count // 2 : count // 2 + 40] = vectors[7]
    vectors *= UNIT / np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.rint(vectors).astype(np.float32)


VECTORS = unit_vectors(2000, 0)
HAS_TOKENS = np.random.default_rng(2).random(len(VECTORS)) < 0.8
VECTORS[~HAS_TOKENS] = 0.0
STORED = {"vectors": VECTORS, "has_tokens": HAS_TOKENS}
QUERIES = [*unit_vectors(100, 1), VECTORS[7]]


def exact(query, k):
    products = np.where(HAS_TOKENS, VECTORS.astype(np.float64) @ query.astype(np.float64), -np.inf)
    rows = best_rows(products, k)
    return rows, products[rows]


@pytest.fixture(scope="module", params=INDEX_KINDS)
def index(request):
    return VectorIndex(STORED, request.param, UNIT, "test-vectors")


@pytest.mark.parametrize("k", [1, 10, 3000])
def test_flat_is_exact(k):
    index = VectorIndex(STORED, "flat", UNIT, "test-vectors")
    for query in QUERIES:
        rows, products = index.best(query, k)
        expected, best = exact(query, k)
        np.testing.assert_array_equal(rows, expected)
        np.testing.assert_array_equal(products, best)


def test_every_kind_gives_right_products_in_order_and_misses_few(index):
    found = 0
    for query in QUERIES:
        rows, products = index.best(query, 10)
        np.testing.assert_array_equal(products, VECTORS[rows].astype(np.float64) @ query.astype(np.float64))
        assert sorted(zip(-products, rows, strict=True)) == list(zip(-products, rows, strict=True))
        found += len(set(rows) & set(exact(query, 10)[0]))
    assert found >= 0.9 * 10 * len(QUERIES)


def test_an_index_is_pickled_without_what_can_be_opened_again(index):
    again = pickle.loads(pickle.dumps(index))
    np.testing.assert_array_equal(again.best(QUERIES[0], 5)[0], index.best(QUERIES[0], 5)[0])


@pytest.mark.parametrize("kind", INDEX_KINDS)
def test_zeros_are_never_among_the_best(kind):
    """Most vectors point away from the query, so that zeros would come right behind the few that do not."""
    vectors = np.zeros((900, 4), dtype=np.float32)
    vectors[::3] = [-UNIT, 0, 0, 0]
    vectors[[30, 60]] = [0, UNIT, 0, 0]
    vectors[90] = [UNIT, 0, 0, 0]
    has_tokens = vectors.any(axis=1)
    query = np.array([UNIT, 0, 0, 0], dtype=np.float32)
    index = VectorIndex({"vectors": vectors, "has_tokens": has_tokens}, kind, UNIT, f"test-zeros-{kind}")
    rows, products = index.best(query, 250)
    assert has_tokens[rows].all()
    if kind == "flat":
        assert rows[:3].tolist() == [90, 30, 60]
        assert products[:4].tolist() == [UNIT**2, 0, 0, -(UNIT**2)]
        assert len(rows) == 250


@pytest.mark.parametrize("kind", INDEX_KINDS)
def test_nothing_but_zeros(kind):
    stored = {"vectors": np.zeros((3, 4), dtype=np.float32), "has_tokens": np.zeros(3, dtype=bool)}
    rows, products = VectorIndex(stored, kind, UNIT, "test-nothing").best(np.ones(4, dtype=np.float32), 2)
    assert len(rows) == len(products) == 0

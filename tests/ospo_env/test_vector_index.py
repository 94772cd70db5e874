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
QUERIES = [*unit_vectors(100, 1), VECTORS[7]]


def exact(query, k):
    products = VECTORS.astype(np.float64) @ query.astype(np.float64)
    rows = best_rows(products, k)
    return rows, products[rows]


@pytest.fixture(scope="module", params=INDEX_KINDS)
def index(request):
    return VectorIndex({"vectors": VECTORS}, request.param, UNIT, "test-vectors")


@pytest.mark.parametrize("k", [1, 10, 3000])
def test_flat_is_exact(k):
    index = VectorIndex({"vectors": VECTORS}, "flat", UNIT, "test-vectors")
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

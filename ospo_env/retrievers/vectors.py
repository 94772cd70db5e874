"""Nearest vectors, exact or by an approximate FAISS index, and always ranked by exact products."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs_data.errors import unknown_name
from ospo_env.errors import RetrieverError, TaskError
from ospo_env.forks import refuse_after_fork
from ospo_env.retrievers.base import best_rows
from ospo_env.retrievers.storage import stored_arrays
from ospo_env.retrievers.structure import Arrays, check_array

__all__ = ["INDEX_KINDS", "VectorIndex", "check_index"]

INDEX_KINDS = ("flat", "hnsw", "ivf")
"""``flat`` compares with every vector; ``hnsw`` walks a graph of neighbours, ``ivf`` looks into the nearest cells."""

_VERSION = 2  # 2: vectors of zeros are left out
_FEWEST = 64  # candidates
_LINKS = 32  # links of a vector in the graph
_BUILD_DEPTH = 200
_SEARCH_DEPTH = 256
_SEARCHED = 8  # one in 8 cells is searched


class VectorIndex:
    """Search for the vectors with the largest inner products.

    Args:
        stored: Arrays ``"vectors"``, float32 (D, d) of whole numbers, and ``"has_tokens"``, bool (D,): only vectors of
            documents with tokens are returned.
        kind: One of :data:`INDEX_KINDS`.
        length: Bound on the length of each vector, up to rounding.
        key: Digest of the vectors, under which an index of them is kept on disk.
    """

    def __init__(self, stored: Mapping[str, NDArray[Any]], kind: str, length: float, key: str) -> None:
        self._stored = stored  # pickles as its directory path
        self._kind = kind
        self._length = length
        self._key = f"{key}-{kind}-{_VERSION}"

    def best(self, query: NDArray[np.float32], k: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """The best k rows and their products with a query (d,) of whole numbers, by (-product, row).

        ``flat`` finds all of them. The other kinds may miss some; the products are exact in any case.
        """
        refuse_after_fork("ranking the whole corpus")
        total, dimensions = self._vectors.shape
        if not len(self._indexed_rows):
            return np.empty(0, dtype=np.int32), np.empty(0)
        # bound on the error of a float32 product, rounding of the vectors included
        slack = (dimensions + 2) * 2.0**-23 * float(np.linalg.norm(query)) * (self._length + dimensions)
        depth = min(total, max(2 * k, _FEWEST))
        while True:
            products, rows = self._candidates(query, depth)
            candidates = np.sort(rows[self._stored["has_tokens"][rows]])
            exact = self._vectors[candidates].astype(np.float64) @ query.astype(np.float64)
            best = best_rows(exact, k)
            # vectors that were left out score at most the last candidate, hence are not among the best
            complete = len(best) == k and exact[best[-1]] > products[-1] + slack
            if self._kind != "flat" or depth == total or complete:
                return candidates[best].astype(np.int32), exact[best]
            depth = min(total, 4 * depth)

    @property
    def _vectors(self) -> NDArray[np.float32]:
        return self._stored["vectors"]

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in ("_index", "_indexed_rows")}

    def _candidates(self, query: NDArray[np.float32], depth: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Approximate products of the nearest vectors, best first, and the rows of the vectors found."""
        import faiss  # needed only for the whole corpus

        if self._kind == "flat":
            products, rows = faiss.knn(query[None], self._vectors, depth, metric=faiss.METRIC_INNER_PRODUCT)
            return products[0], rows[0]
        products, places = self._index.search(query[None], depth)
        return products[0], self._indexed_rows[places[0][places[0] >= 0]]

    @cached_property
    def _indexed_rows(self) -> NDArray[np.intp]:
        """Rows of the vectors that may be returned."""
        return np.flatnonzero(self._stored["has_tokens"])

    @cached_property
    def _index(self) -> Any:
        import faiss

        stored = stored_arrays(self._key, self._build, check=_check_index_bytes, label=f"{self._kind} index")
        index: Any = faiss.deserialize_index(np.array(stored["index"]))
        shape = len(self._indexed_rows), self._vectors.shape[1]
        if (index.ntotal, index.d) != shape:
            raise RetrieverError(
                f"the {self._kind} index {self._key} is not what was built (expected vectors of shape {shape}, "
                f"got {(index.ntotal, index.d)}); remove its directory and it is built again"
            )
        if self._kind == "hnsw":
            index.hnsw.efSearch = _SEARCH_DEPTH
        else:
            index.nprobe = max(1, index.nlist // _SEARCHED)
        return index

    def _build(self, directory: Path) -> None:
        import faiss

        index: Any
        rows, dimensions = self._indexed_rows, self._vectors.shape[1]
        vectors = self._vectors if len(rows) == len(self._vectors) else self._vectors[rows]
        if self._kind == "hnsw":
            index = faiss.IndexHNSWFlat(dimensions, _LINKS, faiss.METRIC_INNER_PRODUCT)
            index.hnsw.efConstruction = _BUILD_DEPTH
        else:
            cells = max(1, min(int(4 * len(rows) ** 0.5), len(rows) // 39))  # FAISS asks for 39 vectors a cell
            index = faiss.IndexIVFFlat(faiss.IndexFlatIP(dimensions), dimensions, cells, faiss.METRIC_INNER_PRODUCT)
            index.train(vectors)
        index.add(vectors)
        np.save(directory / "index.npy", faiss.serialize_index(index))


def _check_index_bytes(arrays: Arrays) -> None:
    check_array(arrays, "index", np.uint8, (None,))


def check_index(kind: str, index: str) -> None:
    """Raise a ``TaskError`` unless there is such a kind of index."""
    if index not in INDEX_KINDS:
        raise TaskError(unknown_name(f"index of the retriever {kind!r}:", index, INDEX_KINDS))

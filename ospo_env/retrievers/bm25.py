"""BM25 with fixed-point weights: sums are exact, so that a text's scores are those of its pieces."""

import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ospo_env.retrievers.base import best_rows, equal_pools, make_fingerprint
from ospo_env.retrievers.vocabulary import Vocabulary
from ospo_env.text import cuts_between_words

__all__ = ["BM25Retriever"]

_VERSION = 1
_MANY = 20_000  # documents from which a build takes long enough to show progress
_UNIT = 2**16  # a weight's last bit is 1.5e-5 of BM25's unit


class BM25Retriever:
    """Lexical retrieval (Robertson and Zaragoza 2009; idf as in Lucene), linear.

    A document's score is the sum, over the tokens of the text as often as they stand, of integer weights: those of
    the library bm25s times 2^16, rounded, at least 1. A document matches a text that shares a token with it. Sums of
    fewer than 2^32 tokens are exact in float64.

    Args:
        documents: Their texts, at least one.
        corpus: Digest of the documents, for the fingerprint.
        k1: Saturation of a term's frequency, > 0.
        b: Weight of a document's length, in [0, 1].
    """

    name = "bm25"
    linear = True

    def __init__(self, documents: Sequence[str], corpus: str, *, k1: float = 1.5, b: float = 0.75) -> None:
        self.fingerprint = make_fingerprint("bm25", _VERSION, {"k1": k1, "b": b, "unit": _UNIT}, corpus)
        self._vocabulary = Vocabulary()
        self._weights = _fixed_point_weights(self._vocabulary.learn(documents), self._vocabulary, k1, b)

    def score_pools(self, texts: Sequence[str], pools: NDArray[np.int32]) -> NDArray[np.float64]:
        """As :meth:`Retriever.score_pools`: finite scores are integers of at least 1."""
        scores = np.full(pools.shape, -np.inf)
        column_of = np.full(len(self._vocabulary), -1, dtype=np.int64)
        for rows, pool in equal_pools(pools):
            occurring, counts = self._vocabulary.counts([texts[row] for row in rows])
            column_of[occurring] = np.arange(len(occurring))
            sums = counts @ self._pool_weights(pool, column_of, len(occurring))
            column_of[occurring] = -1
            scores[rows] = np.where(sums > 0, sums, -np.inf)
        return scores

    def rank_corpus(self, text: str, k: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """As :meth:`Retriever.rank_corpus`."""
        occurring, counts = self._vocabulary.counts([text])
        query = np.zeros(len(self._vocabulary))
        query[occurring] = counts[0]
        sums = self._weights @ query
        scores = np.where(sums > 0, sums, -np.inf)
        rows = best_rows(scores, k)
        return rows, scores[rows]

    def cuts_cleanly(self, text: str, offsets: Sequence[int]) -> bool:
        """Whether no word is cut."""
        return cuts_between_words(text, offsets)

    def _pool_weights(
        self, pool: NDArray[np.int32], column_of: NDArray[np.int64], occurring: int
    ) -> NDArray[np.float64]:
        """Weights (U, P) of the occurring tokens in the documents of a pool; 0 where absent or padded."""
        indptr, indices, data = self._weights.indptr, self._weights.indices, self._weights.data
        starts, lengths = indptr[pool], np.where(pool < 0, 0, indptr[pool + 1] - indptr[pool])
        before = np.cumsum(lengths) - lengths
        cells = np.arange(lengths.sum()) + np.repeat(starts - before, lengths)
        columns = column_of[indices[cells]]
        hits = np.flatnonzero(columns >= 0)
        weights = np.zeros((occurring, len(pool)))
        weights[columns[hits], np.repeat(np.arange(len(pool)), lengths)[hits]] = data[cells[hits]]
        return weights


def _fixed_point_weights(corpus_ids: list[list[int]], vocabulary: Vocabulary, k1: float, b: float) -> sparse.csr_matrix:
    """Document-major integer weights (D, V)."""
    import bm25s  # slow to import, and needed only here

    shape = (len(corpus_ids), len(vocabulary))
    if not len(vocabulary):
        return sparse.csr_matrix(shape, dtype=np.int32)
    index = bm25s.BM25(k1=k1, b=b, method="lucene", dtype="float64", csc_backend="scipy")
    shown = len(corpus_ids) >= _MANY and sys.stderr.isatty()
    index.index((corpus_ids, vocabulary.ids), create_empty_token=False, show_progress=shown)
    data = np.maximum(np.rint(index.scores["data"] * _UNIT), 1).astype(np.int32)
    return sparse.csc_matrix((data, index.scores["indices"], index.scores["indptr"]), shape=shape).tocsr()

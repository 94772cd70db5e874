"""BM25 with fixed-point weights: sums are exact, so a text's scores are the sums of its pieces' scores."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ospo_env.retrievers.array_file import ArrayFile
from ospo_env.retrievers.base import best_rows, make_fingerprint
from ospo_env.retrievers.corpus import Corpus
from ospo_env.retrievers.pool_sums import pool_sums
from ospo_env.retrievers.storage import index_arrays
from ospo_env.retrievers.structure import Arrays, check_array, check_numbers
from ospo_env.retrievers.terms import document_blocks, term_counts
from ospo_env.retrievers.vocabulary import Vocabulary
from ospo_env.text import cuts_between_words

__all__ = ["BM25Retriever"]

_BATCH = 1024  # texts scored at once; it changes no value
_VERSION = 2  # 2: more than 30 marks of a letter are not sorted together
_UNIT = 2**16  # a weight's last bit is 1.5e-5 of BM25's unit
_SCANNED = 2**16  # documents of the corpus that are summed at once


class BM25Retriever:
    """Lexical retrieval (Robertson and Zaragoza 2009; idf as in Lucene), linear.

    A document's score is the sum of integer weights over the tokens of the text, repeats included. A weight is BM25's
    times 2^16, rounded, at least 1. A document matches a text that shares a token with it. Sums of fewer than 2^32
    tokens are exact in float64. The weights equal those of the library bm25s, which would hold all tokens of the corpus
    in memory.

    The index of a large corpus is kept on disk and mapped (:func:`~ospo_env.retrievers.storage.index_arrays`).

    Args:
        corpus: The documents, at least one; texts are read only if they have no index yet.
        k1: Saturation of a term's frequency, above 0.
        b: Weight of a document's length, in [0, 1].
    """

    name = "bm25"
    linear = True

    def __init__(self, corpus: Corpus, *, k1: float = 1.5, b: float = 0.75) -> None:
        self.fingerprint = make_fingerprint("bm25", _VERSION, {"k1": k1, "b": b, "unit": _UNIT}, corpus.digest)
        self._terms = term_counts(corpus)
        self._vocabulary = Vocabulary(self._terms)
        self._index = index_arrays(
            self.fingerprint,
            partial(_weigh, self._terms, k1, b),
            check=partial(_check_weights, len(self._terms["terms"])),
            documents=len(corpus),
            label="bm25 index",
        )

    def score_pools(self, texts: Sequence[str], pools: NDArray[np.int32]) -> NDArray[np.float64]:
        """As :meth:`Retriever.score_pools`: finite scores are integers of at least 1."""
        scores = np.empty(pools.shape)
        cells = (self._terms["starts"], self._terms["terms"], self._index["weights"])
        for first in range(0, len(texts), _BATCH):
            batch = slice(first, first + _BATCH)
            sums = pool_sums(self._vocabulary.known(texts[batch]), pools[batch], *cells)
            scores[batch] = np.where(sums > 0, sums, -np.inf)
        return scores

    def rank_corpus(self, text: str, k: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """As :meth:`Retriever.rank_corpus`."""
        occurring, counts = self._vocabulary.counts([text])
        query = np.zeros(len(self._vocabulary))
        query[occurring] = counts[0]
        starts, terms, weights = self._terms["starts"], self._terms["terms"], self._index["weights"]
        sums = np.zeros(len(starts) - 1)
        for low in range(0, len(sums), _SCANNED):
            bounds = starts[low : low + _SCANNED + 1]
            cells = slice(bounds[0], bounds[-1])
            shape = (len(bounds) - 1, len(query))
            block = sparse.csr_matrix((weights[cells], terms[cells], bounds - bounds[0]), shape=shape)
            sums[low : low + _SCANNED] = block @ query
        scores = np.where(sums > 0, sums, -np.inf)
        rows = best_rows(scores, k)
        return rows, scores[rows]

    def cuts_cleanly(self, text: str, offsets: Sequence[int]) -> bool:
        """Whether no word is cut."""
        return cuts_between_words(text, offsets)

    def has_known_tokens(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """Whether each of B texts holds a token of the corpus: bool (B,)."""
        return np.array([bool(known) for known in self._vocabulary.known(texts)], dtype=np.bool_)


def _check_weights(cells: int, arrays: Arrays) -> None:
    check_numbers(check_array(arrays, "weights", np.int32, (cells,)), "weights", 1, 2**31)


def _weigh(terms: Mapping[str, NDArray[Any]], k1: float, b: float, directory: Path) -> None:
    """Write the integer weight of each cell of the token counts: idf * tf / (tf + k1 * (1 - b + b * length / mean))."""
    starts, total = terms["starts"], len(terms["starts"]) - 1
    frequencies = np.zeros(len(terms["word_ids"]), dtype=np.int64)
    length = 0
    for _, cells in document_blocks(starts, "bm25: document frequencies"):
        frequencies += np.bincount(terms["terms"][cells], minlength=len(frequencies))
        length += int(terms["counts"][cells].sum())
    mean = max(length, 1) / total  # documents without any word have no cell to weigh
    each, place = np.unique(frequencies, return_inverse=True)
    idf = np.array([math.log(1 + (total - df + 0.5) / (df + 0.5)) for df in each.tolist()])[place]
    with ArrayFile(directory / "weights.npy", np.int32) as weights:
        for rows, cells in document_blocks(starts, "bm25: weights"):
            sizes = np.diff(starts[rows.start : rows.stop + 1])
            counts = terms["counts"][cells].astype(np.float64)
            document = np.repeat(np.arange(len(sizes)), sizes)
            lengths = np.bincount(document, weights=counts, minlength=len(sizes))
            saturation = k1 * ((1 - b) + b * lengths / mean)
            exact = idf[terms["terms"][cells]] * (counts / (saturation[document] + counts))
            weights.append(np.maximum(np.rint(exact * _UNIT), 1))

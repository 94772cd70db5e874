"""Character n-grams inside words with fixed-point weights: exact, hence linear, and tolerant of misspellings."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ospo_env.retrievers.array_file import ArrayFile
from ospo_env.retrievers.base import best_rows, equal_pools, make_fingerprint
from ospo_env.retrievers.corpus import Corpus
from ospo_env.retrievers.storage import index_arrays
from ospo_env.retrievers.structure import Arrays, check_array, check_numbers, check_offsets
from ospo_env.retrievers.terms import document_blocks, term_counts
from ospo_env.retrievers.vocabulary import Vocabulary
from ospo_env.text import cuts_between_words, tokens

__all__ = ["CharGramRetriever"]

_VERSION = 2  # 2: more than 30 marks of a letter are not sorted together
_SIZES = (3, 5)  # fewest and most characters of an n-gram
_BUCKETS = 2**31 - 1  # of the 32-bit hash: the most that its library has, so that collisions are rare
_GRAM_UNIT = 2**4
_WORD_UNIT = 2**16
_SCANNED = 2**16  # documents of the corpus that are summed at once


class CharGramRetriever:
    """Cosine of TF-IDF vectors of the character n-grams inside words (as in Cavnar and Trenkle 1994), linear.

    The n-grams of a token are those of its characters with a boundary mark on either side; a token shorter than a
    size counts once as a whole. An n-gram is identified by its MurmurHash3. A document's vector is the sum of its
    distinct tokens' n-grams, each token weighed 1 + ln of its count, at unit length after n-grams were weighed by their
    smoothed idf. A text's vector is the **un**normalised sum of its tokens' n-grams times idf, repeats included, so its
    scores are the cosines times one positive factor and add up over its pieces.

    Both weights are rounded to whole numbers of at least 1 (4 bits behind the point for the squared idf, 16 for a
    token's weight in a document); sums are exact in texts of up to 2^22 characters. A document matches a text that
    shares an n-gram with it. Documents are stored as words, not n-grams, so the index is no larger than that of
    ``bm25``.

    The index of a large corpus is kept on disk and mapped (:func:`~ospo_env.retrievers.storage.index_arrays`).

    Args:
        corpus: The documents, at least one; texts are read only if they have no index yet.
    """

    name = "chargram"
    linear = True

    def __init__(self, corpus: Corpus) -> None:
        settings = {"sizes": _SIZES, "units": [_GRAM_UNIT, _WORD_UNIT]}
        self.fingerprint = make_fingerprint("chargram", _VERSION, settings, corpus.digest)
        self._terms = term_counts(corpus)
        self._index = index_arrays(
            self.fingerprint,
            partial(_weigh, self._terms),
            check=partial(_check_grams, len(self._terms["terms"]), len(self._terms["word_ids"])),
            documents=len(corpus),
            label="chargram index",
        )

    def score_pools(self, texts: Sequence[str], pools: NDArray[np.int32]) -> NDArray[np.float64]:
        """As :meth:`Retriever.score_pools`: finite scores are integers of at least 1."""
        scores = np.full(pools.shape, -np.inf)
        queries = self._query_grams(texts)
        for rows, pool in equal_pools(pools):
            documents = self._documents[np.maximum(pool, 0)]
            words, columns = np.unique(documents.indices, return_inverse=True)
            documents = sparse.csr_matrix((documents.data, columns, documents.indptr), shape=(len(pool), len(words)))
            sums = documents @ (self._word_grams[words] @ queries[:, rows]).toarray()
            scores[rows] = np.where((sums.T > 0) & (pool >= 0), sums.T, -np.inf)
        return scores

    def rank_corpus(self, text: str, k: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """As :meth:`Retriever.rank_corpus`."""
        alike = (self._word_grams @ self._query_grams([text])).toarray()[:, 0]
        blocks = range(0, self._documents.shape[0], _SCANNED)
        sums = np.concatenate([self._documents[start : start + _SCANNED] @ alike for start in blocks])
        scores = np.where(sums > 0, sums, -np.inf)
        rows = best_rows(scores, k)
        return rows, scores[rows]

    def cuts_cleanly(self, text: str, offsets: Sequence[int]) -> bool:
        """Whether no word is cut."""
        return cuts_between_words(text, offsets)

    def has_known_tokens(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """Whether each of B texts holds an n-gram of the corpus: bool (B,)."""
        return np.asarray(np.diff(self._query_grams(texts).tocsc().indptr) > 0)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in ("_documents", "_word_grams")}

    @cached_property
    def _documents(self) -> sparse.csr_matrix:
        """Weight of each word in each document (D, V)."""
        shape = (len(self._terms["starts"]) - 1, len(self._terms["word_ids"]))
        return sparse.csr_matrix((self._index["weights"], self._terms["terms"], self._terms["starts"]), shape=shape)

    @cached_property
    def _word_grams(self) -> sparse.csr_matrix:
        """Counts of each n-gram in each word (V, G)."""
        cells = (self._index["gram_counts"], self._index["grams"], self._index["gram_starts"])
        return sparse.csr_matrix(cells, shape=(len(self._terms["word_ids"]), len(self._index["gram_hashes"])))

    def _query_grams(self, texts: Sequence[str]) -> sparse.csc_matrix:
        """Weights (G, B) of the known n-grams of each text, times their counts in it."""
        words: dict[str, int] = {}
        word_ids = [[words.setdefault(token, len(words)) for token in tokens(text)] for text in texts]
        hashed = _hashed_grams(list(words))
        rows = np.repeat(np.arange(len(words)), np.diff(hashed.indptr))
        hashes = self._index["gram_hashes"]
        places = np.searchsorted(hashes, hashed.indices)
        known = np.flatnonzero(places < len(hashes))
        known = known[hashes[places[known]] == hashed.indices[known]]
        weights = hashed.data[known] * self._index["gram_weights"][places[known]]
        grams = sparse.csc_matrix((weights, (places[known], rows[known])), shape=(len(hashes), len(words)))
        return grams @ _word_counts(word_ids, len(words)).T


def _word_counts(word_ids: list[list[int]], words: int) -> sparse.csr_matrix:
    """Counts of the V words in each text (B, V)."""
    indptr = np.concatenate([[0], np.cumsum([len(ids) for ids in word_ids], dtype=np.int64)])
    indices = np.fromiter((word for ids in word_ids for word in ids), dtype=np.int32, count=int(indptr[-1]))
    counts = sparse.csr_matrix((np.ones(len(indices)), indices, indptr), shape=(len(word_ids), words))
    counts.sum_duplicates()
    return counts


def _hashed_grams(words: Sequence[str]) -> sparse.csr_matrix:
    """Counts of each n-gram, named by its hash, in each word (V, buckets)."""
    if not words:
        return sparse.csr_matrix((0, _BUCKETS))
    from sklearn.feature_extraction.text import HashingVectorizer  # slow to import, and needed only here

    vectorizer = HashingVectorizer(
        analyzer="char_wb",
        ngram_range=_SIZES,
        n_features=_BUCKETS,
        lowercase=False,
        norm=None,
        alternate_sign=False,
    )
    return vectorizer.transform(words)


def _check_grams(cells: int, words: int, arrays: Arrays) -> None:
    check_numbers(check_array(arrays, "weights", np.int32, (cells,)), "weights", 1, 2**31)
    hashes = check_array(arrays, "gram_hashes", np.signedinteger, (None,))
    if (np.diff(hashes) <= 0).any():
        raise ValueError("expected gram_hashes to ascend")
    check_numbers(check_array(arrays, "gram_weights", np.int32, (len(hashes),)), "gram_weights", 1, 2**31)
    grams = check_array(arrays, "grams", np.signedinteger, (None,))
    check_numbers(grams, "grams", 0, len(hashes))
    check_numbers(check_array(arrays, "gram_counts", np.int32, (len(grams),)), "gram_counts", 1, 2**31)
    check_offsets(arrays, "gram_starts", np.signedinteger, words, len(grams))


def _weigh(terms: Mapping[str, NDArray[Any]], directory: Path) -> None:
    """Write the n-grams of each word, and whole-numbered weights of n-grams and of each cell of the token counts."""
    hashed = _hashed_grams(Vocabulary(terms).tokens())
    hashes, columns = np.unique(hashed.indices, return_inverse=True)
    grams = sparse.csr_matrix((hashed.data, columns, hashed.indptr), shape=(hashed.shape[0], len(hashes)))
    total = len(terms["starts"]) - 1
    occurs = np.zeros(len(hashes))
    for documents in _word_weights(terms, hashed.shape[0], "chargram: document frequencies"):
        occurs += np.bincount((documents @ grams).indices, minlength=len(occurs))
    idf = np.log((1.0 + total) / (1.0 + occurs)) + 1.0
    weighed = grams @ sparse.diags_array(idf)
    with ArrayFile(directory / "weights.npy", np.int32) as weights:
        for documents in _word_weights(terms, hashed.shape[0], "chargram: weights"):
            lengths = np.repeat(sparse.linalg.norm(documents @ weighed, axis=1), np.diff(documents.indptr))
            weights.append(np.maximum(np.rint(documents.data / lengths * _WORD_UNIT), 1))
    arrays = {"gram_hashes": hashes, "gram_weights": np.maximum(np.rint(idf**2 * _GRAM_UNIT), 1).astype(np.int32)}
    arrays |= {"gram_counts": grams.data.astype(np.int32), "grams": grams.indices, "gram_starts": grams.indptr}
    for name, array in arrays.items():
        np.save(directory / f"{name}.npy", array)


def _word_weights(terms: Mapping[str, NDArray[Any]], words: int, label: str) -> Iterator[sparse.csr_matrix]:
    """1 + ln of the count of each word in each document (block, V), for consecutive blocks of documents."""
    for rows, cells in document_blocks(terms["starts"], label):
        starts = terms["starts"][rows.start : rows.stop + 1] - terms["starts"][rows.start]
        weights = 1.0 + np.log(terms["counts"][cells])
        yield sparse.csr_matrix((weights, terms["terms"][cells], starts), shape=(len(starts) - 1, words))

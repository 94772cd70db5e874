"""Character n-grams inside words with fixed-point weights: exact, hence linear, and forgiving of misspellings."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ospo_env.retrievers.base import best_rows, equal_pools, make_fingerprint
from ospo_env.retrievers.vocabulary import Vocabulary
from ospo_env.text import cuts_between_words, tokens

__all__ = ["CharGramRetriever"]

_VERSION = 1
_SIZES = (3, 5)  # fewest and most characters of an n-gram
_BUCKETS = 2**31 - 1  # of the 32-bit hash: the most that its library has, so that collisions are rare
_GRAM_UNIT = 2**4
_WORD_UNIT = 2**16
_CHUNK = 4096  # documents whose n-grams are held at once


class CharGramRetriever:
    """Cosine of TF-IDF vectors of the character n-grams inside words (as in Cavnar and Trenkle 1994), linear.

    The n-grams of a token are those of its characters with a boundary mark on either side; a token shorter than a
    size counts once as a whole. They are known by their MurmurHash3, which depends on nothing but them. A document is
    the sum of its distinct tokens' n-grams, each token weighed 1 + ln of how often it stands, at unit length after
    n-grams were weighed by their smoothed idf. A text is the **un**normalised sum of its tokens' n-grams times idf, as
    often as they stand, so that its scores are the cosines times one positive factor and add up over its pieces.

    Both weights are rounded to whole numbers of at least 1 (4 bits behind the point for the squared idf, 16 for a
    token's weight in a document); sums are exact in texts of up to 2^22 characters. A document matches a text that
    shares an n-gram with it. Words, not n-grams, are stored a document, so that it takes no more room than ``bm25``.

    Args:
        documents: Their texts, at least one.
        corpus: Digest of the documents, for the fingerprint.
    """

    name = "chargram"
    linear = True

    def __init__(self, documents: Sequence[str], corpus: str) -> None:
        settings = {"sizes": _SIZES, "units": [_GRAM_UNIT, _WORD_UNIT]}
        self.fingerprint = make_fingerprint("chargram", _VERSION, settings, corpus)
        vocabulary = Vocabulary()
        counts = _word_counts(vocabulary.learn(documents), len(vocabulary))
        hashed = _hashed_grams(list(vocabulary.ids))
        self._hashes, columns = np.unique(hashed.indices, return_inverse=True)
        shape = (len(vocabulary), len(self._hashes))
        self._word_grams = sparse.csr_matrix((hashed.data, columns, hashed.indptr), shape=shape)
        self._gram_weights, self._documents = _fixed_point_weights(counts, self._word_grams)

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
        sums = self._documents @ (self._word_grams @ self._query_grams([text])).toarray()[:, 0]
        scores = np.where(sums > 0, sums, -np.inf)
        rows = best_rows(scores, k)
        return rows, scores[rows]

    def cuts_cleanly(self, text: str, offsets: Sequence[int]) -> bool:
        """Whether no word is cut."""
        return cuts_between_words(text, offsets)

    def _query_grams(self, texts: Sequence[str]) -> sparse.csc_matrix:
        """Weights (G, B) of the known n-grams of each text, times how often they stand in it."""
        words: dict[str, int] = {}
        word_ids = [[words.setdefault(token, len(words)) for token in tokens(text)] for text in texts]
        hashed = _hashed_grams(list(words))
        rows = np.repeat(np.arange(len(words)), np.diff(hashed.indptr))
        places = np.searchsorted(self._hashes, hashed.indices)
        known = np.flatnonzero(np.append(self._hashes, -1)[places] == hashed.indices)
        weights = hashed.data[known] * self._gram_weights[places[known]]
        grams = sparse.csc_matrix((weights, (places[known], rows[known])), shape=(len(self._hashes), len(words)))
        return grams @ _word_counts(word_ids, len(words)).T


def _word_counts(word_ids: list[list[int]], words: int) -> sparse.csr_matrix:
    """How often each of the V words stands in each text (B, V)."""
    indptr = np.concatenate([[0], np.cumsum([len(ids) for ids in word_ids], dtype=np.int64)])
    indices = np.fromiter((word for ids in word_ids for word in ids), dtype=np.int32, count=int(indptr[-1]))
    counts = sparse.csr_matrix((np.ones(len(indices)), indices, indptr), shape=(len(word_ids), words))
    counts.sum_duplicates()
    return counts


def _hashed_grams(words: Sequence[str]) -> sparse.csr_matrix:
    """How often each n-gram, named by its hash, stands in each word (V, buckets)."""
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


def _fixed_point_weights(
    counts: sparse.csr_matrix, word_grams: sparse.csr_matrix
) -> tuple[NDArray[np.float64], sparse.csr_matrix]:
    """Whole numbers: the squared idf of each n-gram (G,), and the weight of each word in each document (D, V)."""
    documents = counts.copy()
    documents.data = 1.0 + np.log(documents.data)
    chunks = [documents[start : start + _CHUNK] for start in range(0, documents.shape[0], _CHUNK)]
    occurs = np.zeros(word_grams.shape[1])
    for chunk in chunks:
        occurs += np.bincount((chunk @ word_grams).indices, minlength=len(occurs))
    idf = np.log((1.0 + documents.shape[0]) / (1.0 + occurs)) + 1.0
    weighed = word_grams @ sparse.diags_array(idf)
    lengths = np.concatenate([sparse.linalg.norm(chunk @ weighed, axis=1) for chunk in chunks])
    documents.data /= np.repeat(lengths, np.diff(documents.indptr))
    documents.data = np.maximum(np.rint(documents.data * _WORD_UNIT), 1).astype(np.int32)
    return np.maximum(np.rint(idf**2 * _GRAM_UNIT), 1), documents

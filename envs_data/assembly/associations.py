"""Associations: words that judgements of queries connect with the words of a query, by counting alone."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

__all__ = ["Associations", "plain_stem"]

_DOUBT = 2  # queries without the word, which a query word's shares are averaged with


class Associations:
    """Shares of words in documents that queries with a query's words were judged to want.

    For a judged query q, P(w|q) is the share of its gains that lies on documents with the word w. For a query word u,
    P(w|u) is the sum of P(w|q) over the n judged queries with u, over n + 2. Of a query, P(w) is the mean of P(w|u)
    over its words that judged queries have, weighted by their inverse frequency there, log(Q / n). Words are taken by
    P(w) log(P(w) / C(w)), C(w) being the share of the corpus's documents with w; ties in alphabetic order. Words of
    one character, words with digits, words of the query, and words that are no more frequent than in the corpus are
    not taken. Words that differ in a final s alone count as the same word of a query.

    Args:
        vocabulary: The V words of the documents.
        shares: float64 (Q, V), P(w|q) of each judged query.
        corpus: float64 (V,), C(w), above 0.
        queries: Words of each judged query, length Q.
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        shares: sparse.csr_matrix,
        corpus: NDArray[np.float64],
        queries: Sequence[Sequence[str]],
    ) -> None:
        self._vocabulary = list(vocabulary)
        self._shares = shares
        self._queries = [list(dict.fromkeys(map(plain_stem, words))) for words in queries]
        self._numbers: dict[str, int] = {}
        for words in self._queries:
            for word in words:
                self._numbers.setdefault(word, len(self._numbers))
        columns = [self._numbers[word] for words in self._queries for word in words]
        ends = np.cumsum([0, *map(len, self._queries)])
        has = sparse.csr_matrix((np.ones(len(columns)), columns, ends), shape=(len(queries), len(self._numbers)))
        self._counts = np.bincount(columns, minlength=len(self._numbers)).tolist()
        self._sums = (has.T.tocsr() @ shares).tocsr()  # (U, V), the sum of P(w|q) over the queries with each word
        self._corpus = corpus
        self._fit = np.array([len(word) > 1 and word.isalpha() for word in vocabulary], dtype=np.bool_)

    def words(self, query: Sequence[str]) -> Mapping[str, float]:
        """The words associated with a query, given by its own words, with their shares P(w), best first."""
        return self._best(list(dict.fromkeys(map(plain_stem, query))), None)

    def words_of_others(self, row: int) -> Mapping[str, float]:
        """The words that the other judged queries associate with a judged query: :meth:`words` without that one.

        Args:
            row: The judged query, in 0 .. Q - 1.
        """
        return self._best(self._queries[row], row)

    def _best(self, query: Sequence[str], without: int | None) -> Mapping[str, float]:
        fewer = 0 if without is None else 1
        counts = {word: self._counts[self._numbers[word]] - fewer for word in query if word in self._numbers}
        weights = {word: math.log((len(self._queries) - fewer) / count) for word, count in counts.items() if count}
        total = math.fsum(weights.values())
        if total <= 0:  # no word of the query is known, or all judged queries have each
            return {}
        shares = np.zeros(len(self._vocabulary))
        for word, weight in weights.items():
            terms, sums = _row(self._sums, self._numbers[word])
            shares[terms] += weight / total / (counts[word] + _DOUBT) * sums
            if without is not None:
                terms, sums = _row(self._shares, without)
                shares[terms] -= weight / total / (counts[word] + _DOUBT) * sums
        taken = np.flatnonzero((shares > self._corpus) & self._fit)
        gain = (shares[taken] * np.log(shares[taken] / self._corpus[taken])).round(12)  # so that equals are equal
        words = [self._vocabulary[term] for term in taken.tolist()]
        ordered = sorted(zip((-gain).tolist(), words, taken.tolist(), strict=True))
        own = set(query)
        return {word: float(shares[term]) for _, word, term in ordered if plain_stem(word) not in own}


def plain_stem(word: str) -> str:
    """A word without its final s.

    >>> plain_stem("lamps"), plain_stem("s")
    ('lamp', 's')
    """
    return word.rstrip("s") or word


def _row(matrix: sparse.csr_matrix, row: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Columns and values of a row of a sparse matrix."""
    cells = slice(matrix.indptr[row], matrix.indptr[row + 1])
    return matrix.indices[cells], matrix.data[cells]

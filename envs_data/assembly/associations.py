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
        self._rows: dict[str, list[int]] = {}
        for row, words in enumerate(queries):
            for word in dict.fromkeys(map(plain_stem, words)):
                self._rows.setdefault(word, []).append(row)
        self._queries = len(queries)
        self._corpus = corpus
        self._fit = np.array([len(word) > 1 and word.isalpha() for word in vocabulary], dtype=np.bool_)

    def words(self, query: Sequence[str]) -> Mapping[str, float]:
        """The words associated with a query, given by its own words, with their shares P(w), best first."""
        indexed = [word for word in dict.fromkeys(map(plain_stem, query)) if word in self._rows]
        weights = {word: math.log(self._queries / len(self._rows[word])) for word in indexed}
        total = math.fsum(weights.values())
        if total <= 0:  # no word of the query is known, or all judged queries have each
            return {}
        shares = np.sum([weight / total * self._of_word(word) for word, weight in weights.items()], axis=0)
        taken = np.flatnonzero((shares > self._corpus) & self._fit)
        gain = (shares[taken] * np.log(shares[taken] / self._corpus[taken])).round(12)  # so that equals are equal
        own = set(map(plain_stem, query))
        ordered = sorted(zip((-gain).tolist(), (self._vocabulary[term] for term in taken.tolist()), taken.tolist(), strict=True))
        return {word: float(shares[term]) for _, word, term in ordered if plain_stem(word) not in own}

    def _of_word(self, word: str) -> NDArray[np.float64]:
        """P(w|u) of a query word u for all words of the corpus: float64 (V,)."""
        rows = self._rows[word]
        sums: NDArray[np.float64] = np.asarray(self._shares[rows].sum(axis=0)).ravel()
        return sums / (len(rows) + _DOUBT)


def plain_stem(word: str) -> str:
    """A word without its final s.

    >>> plain_stem("lamps"), plain_stem("s")
    ('lamp', 's')
    """
    return word.rstrip("s") or word

"""Latent-semantic retrieval in whole numbers: exact, hence linear, and independent of batch and threads."""

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ospo_env.errors import TaskError
from ospo_env.forks import refuse_after_fork
from ospo_env.retrievers.base import best_rows, equal_pools, make_fingerprint, unit_rows
from ospo_env.retrievers.corpus import Corpus
from ospo_env.retrievers.storage import index_arrays
from ospo_env.retrievers.structure import Arrays, check_array, check_numbers
from ospo_env.retrievers.terms import count_matrix, term_counts
from ospo_env.retrievers.vocabulary import Vocabulary
from ospo_env.text import cuts_between_words

__all__ = ["LSARetriever"]

_VERSION = 2  # 2: documents without a word are not matched
_DOCUMENT_UNIT = 2**15  # length of a document vector
_TOKEN_UNIT = 2**20  # length of the longest token vector
_POWER_ITERATIONS = 5  # as in sklearn.decomposition.TruncatedSVD


class LSARetriever:
    """TF-IDF and a truncated singular value decomposition (Deerwester et al. 1990); works offline.

    A document's vector is its TF-IDF vector (raw term counts, smoothed idf, unit length) projected on the leading
    singular vectors, again at unit length. A text's vector is the **un**normalised sum, over its tokens, of idf times
    the token's row of those vectors, so its scores are the cosines times one positive factor and add up over its
    pieces. Both kinds of vector are rounded to whole numbers (15 and 20 bits), and every partial sum of a score stays
    below 2^53 in texts of up to 2^18 tokens, so the order of summation does not matter. A text with a known token
    matches every document that has a token; any other text matches none. The decomposition runs on one thread, so its
    result does not depend on the number of threads.

    Args:
        corpus: The documents, at least two, with at least two different tokens among them.
        dimensions: Length of the vectors, at most; the smaller side of the term matrix less 1 bounds it.
        seed: Seed of the randomised decomposition.

    Raises:
        TaskError: The corpus is too small.
    """

    name = "lsa"
    linear = True

    def __init__(self, corpus: Corpus, *, dimensions: int = 128, seed: int = 0) -> None:
        settings = {"dimensions": dimensions, "seed": seed, "units": [_DOCUMENT_UNIT, _TOKEN_UNIT]}
        self.fingerprint = make_fingerprint("lsa", _VERSION, settings, corpus.digest)
        self._terms = term_counts(corpus)
        self._vocabulary = Vocabulary(self._terms)
        shape = (len(corpus), len(self._vocabulary))
        if min(shape) < 2:
            raise TaskError(
                "expected at least two documents and two different words for the retriever 'lsa'; "
                f"got {shape[0]} and {shape[1]}; use 'bm25'"
            )
        length = min(dimensions, min(shape) - 1)
        self._vectors = index_arrays(
            self.fingerprint,
            partial(_decompose, self._terms, length, seed),
            check=partial(_check_vectors, *shape, length),
            documents=len(corpus),
            label="lsa index",
        )

    def score_pools(self, texts: Sequence[str], pools: NDArray[np.int32]) -> NDArray[np.float64]:
        """As :meth:`Retriever.score_pools`: finite scores are integers, of either sign."""
        scores = np.full(pools.shape, -np.inf)
        starts = self._terms["starts"]
        for rows, pool in equal_pools(pools):
            queries, matching = self._query_vectors([texts[row] for row in rows])
            products = queries @ self._vectors["documents"][pool].astype(np.float64).T
            has_tokens = (pool >= 0) & (starts[pool + 1] > starts[pool])
            scores[rows] = np.where(matching[:, None] & has_tokens, products, -np.inf)
        return scores

    def rank_corpus(self, text: str, k: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """As :meth:`Retriever.rank_corpus`: candidates by FAISS in float32, then ranked by their exact scores."""
        queries, matching = self._query_vectors([text])
        if not matching[0]:
            return np.empty(0, dtype=np.int32), np.empty(0)
        refuse_after_fork("ranking the whole corpus")
        index, indexed_rows = self._index
        total, dimensions = len(indexed_rows), self.dimensions
        # bound on the error of a float32 product of these vectors, rounding of the query included
        slack = (dimensions + 2) * 2.0**-23 * float(np.linalg.norm(queries)) * (_DOCUMENT_UNIT + dimensions)
        depth = min(total, max(2 * k, 64))
        while True:
            approximate, places = index.search(queries.astype(np.float32), depth)
            candidates = indexed_rows[np.sort(places[0])]
            scores = self._vectors["documents"][candidates].astype(np.float64) @ queries[0]
            best = best_rows(scores, k)
            # documents that FAISS left out score at most this, hence are not among the best
            if depth == total or scores[best[-1]] > approximate[0, -1] + slack:
                return candidates[best].astype(np.int32), scores[best]
            depth = min(total, 4 * depth)

    def cuts_cleanly(self, text: str, offsets: Sequence[int]) -> bool:
        """Whether no word is cut."""
        return cuts_between_words(text, offsets)

    def has_known_tokens(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """Whether each of B texts holds a token of the corpus: bool (B,)."""
        return np.array([bool(known) for known in self._vocabulary.known(texts)], dtype=np.bool_)

    @property
    def dimensions(self) -> int:
        """As :attr:`Encoder.dimensions`."""
        return int(self._vectors["tokens"].shape[1])

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """As :meth:`Encoder.encode`: sums of token vectors, here at unit length."""
        return unit_rows(self._query_vectors(texts)[0])

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_index"}

    def _query_vectors(self, texts: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Sums of token vectors (B, d), and whether each text has a known token (B,)."""
        occurring, counts = self._vocabulary.counts(texts)
        return counts @ self._vectors["tokens"][occurring].astype(np.float64), counts.sum(axis=1) > 0

    @cached_property
    def _index(self) -> tuple[Any, NDArray[np.intp]]:
        """FAISS index of the documents that have a token, and their rows."""
        import faiss  # needed only for the whole corpus

        rows = np.flatnonzero(np.diff(self._terms["starts"]))
        documents = self._vectors["documents"]
        index = faiss.IndexFlatIP(documents.shape[1])
        index.add(documents if len(rows) == len(documents) else documents[rows])
        return index, rows


def _check_vectors(documents: int, tokens: int, length: int, arrays: Arrays) -> None:
    for name, count, unit in (("documents", documents, _DOCUMENT_UNIT), ("tokens", tokens, _TOKEN_UNIT)):
        check_numbers(check_array(arrays, name, np.float32, (count, length)), name, -unit, unit + 1)


def _decompose(terms: Mapping[str, NDArray[Any]], dimensions: int, seed: int, directory: Path) -> None:
    """Write the vectors of documents (D, d) and tokens (V, d), in whole numbers."""
    from sklearn.feature_extraction.text import TfidfTransformer  # slow to import, and needed only here
    from sklearn.utils.extmath import randomized_svd
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    weights = count_matrix(terms)
    with threadpool_limits(limits=1):
        transformer = TfidfTransformer(norm="l2", sublinear_tf=False).fit(weights)
        weights = transformer.transform(weights, copy=False)
        *_, basis = randomized_svd(weights, dimensions, n_iter=_POWER_ITERATIONS, random_state=seed)
        documents = weights @ basis.T
    lengths = np.linalg.norm(documents, axis=1, keepdims=True)
    documents *= np.divide(_DOCUMENT_UNIT, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    np.save(directory / "documents.npy", np.rint(documents, out=documents).astype(np.float32))
    tokens = transformer.idf_[:, None] * basis.T
    tokens *= _TOKEN_UNIT / np.linalg.norm(tokens, axis=1).max()
    np.save(directory / "tokens.npy", np.rint(tokens, out=tokens).astype(np.float32))

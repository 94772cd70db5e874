"""Retrievers on an index that stands elsewhere: its documents are joined with the corpus by their ids."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from ospo_env.errors import RetrieverError
from ospo_env.retrievers.base import equal_pools, make_fingerprint
from ospo_env.retrievers.corpus import Corpus
from ospo_env.retrievers.engines.index import Index, Search, check_ids
from ospo_env.retrievers.engines.requests import Limits, answer_all, answer_each
from ospo_env.retrievers.engines.score_cache import Key, ScoreCache

__all__ = ["JoinedRetriever"]

_VERSION = 1
_WHOLE = "holds each document once"  # a fact about an index, remembered under the fingerprint
_MORE = 32  # documents beyond k that are asked for, so that ties at place k are seen whole
_GROWTH = 8  # of what is asked for, where they are not

_Scores: TypeAlias = NDArray[np.float64]
_Wish = TypeVar("_Wish")


class JoinedRetriever:
    """Scores of an engine's index for the documents of a corpus, by their ids.

    Not linear. A score is the engine's own number. Texts are sent in batches, several at once. A request that fails for
    the moment is repeated until its deadline; then it is a ``RetrieverError``. Scores are kept on disk under
    :attr:`fingerprint`, which holds the index's own identity: an index that changed is asked again, once it is opened
    again. Documents of the index that the corpus lacks are passed over.

    Attributes:
        stored_texts: Number of texts so far whose scores were taken from disk.

    Args:
        index: The index.
        corpus: The documents; the index has to hold each of them, once.
        settings: Settings that decide scores, for the fingerprint.
        limits: Bounds on requests.
        cache: Whether scores are kept on disk.

    Raises:
        TaskError: The index is not there, cannot be used as the settings say, or lacks documents.
        RetrieverError: It did not answer in time.
    """

    linear = False

    def __init__(
        self, index: Index, corpus: Corpus, settings: Mapping[str, Any], limits: Limits, *, cache: bool
    ) -> None:
        self.name = index.kind
        self._index = index
        self._limits = limits
        (identity,) = answer_all(lambda _, seconds: index.identity(seconds), [None], limits)
        described = {**settings, "identity": dict(identity), "ids": corpus.ids_digest}
        self.fingerprint = make_fingerprint(index.kind, _VERSION, described, corpus.digest)
        self.stored_texts = 0
        self._cache = ScoreCache(self.fingerprint) if cache else None
        self._ids = list(corpus.doc_ids)
        if self._cache is None or not self._cache.recalls(_WHOLE):
            check_ids(index, self._ids, limits)
            if self._cache is not None:
                self._cache.remember(_WHOLE)

    def score_pools(self, texts: Sequence[str], pools: NDArray[np.int32]) -> NDArray[np.float64]:
        """As :meth:`Retriever.score_pools`."""
        scores = np.full(pools.shape, -np.inf)
        rows_of: dict[Key, list[int]] = {}
        searches: dict[Key, Search] = {}
        for rows, pool in equal_pools(pools):
            ids = [self._ids[row] for row in pool.tolist() if row >= 0]
            for row in rows:
                if texts[row].strip() and ids:
                    key = texts[row], pool.tobytes()
                    rows_of.setdefault(key, []).append(row)
                    searches[key] = Search(texts[row], ids)
        for key, array in self._arrays(searches, self._score, self._limits.batch).items():
            for row in rows_of[key]:
                scores[row, pools[row] >= 0] = array
        return scores

    def rank_corpus(self, text: str, k: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """As :meth:`Retriever.rank_corpus`.

        Ties are broken by row as far as the index returns them: at its ``window``, such as 10,000 documents of
        Elasticsearch, its own order decides which of equal documents are in.
        """
        (ranking,) = self.rank_texts([text], k)
        return ranking

    def rank_texts(self, texts: Sequence[str], k: int) -> list[tuple[NDArray[np.int32], NDArray[np.float64]]]:
        """As :meth:`rank_corpus`, for B texts, several at once."""
        keys = {text: (text, b"corpus %d" % k) for text in texts if text.strip()}
        arrays = self._arrays({key: (text, k) for text, key in keys.items()}, self._rank, 1)
        parts = [arrays[keys[text]].reshape(2, -1) if text in keys else np.empty((2, 0)) for text in texts]
        return [(rows.astype(np.int32), scores) for rows, scores in parts]

    def cuts_cleanly(self, text: str, offsets: Sequence[int]) -> bool:
        """False: an engine's scores are not known to be sums."""
        return False

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_row_of"}

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {doc_id: row for row, doc_id in enumerate(self._ids)}

    def _arrays(
        self, wanted: Mapping[Key, _Wish], ask: Callable[[Sequence[_Wish], float], list[_Scores]], batch: int
    ) -> dict[Key, _Scores]:
        """Arrays of some keys: from disk, or asked for in batches of what the keys stand for.

        What was answered is kept on disk, also where a later request fails.
        """
        arrays = {} if self._cache is None else self._cache.read(list(wanted))
        self.stored_texts += len(arrays)
        missing = [key for key in wanted if key not in arrays]
        batches = [missing[first : first + batch] for first in range(0, len(missing), batch)]
        asked: dict[Key, _Scores] = {}
        try:
            for place, answer in answer_each(
                lambda keys, seconds: ask([wanted[key] for key in keys], seconds), batches, self._limits
            ):
                asked |= zip(batches[place], answer, strict=True)
        finally:
            if self._cache is not None and asked:
                self._cache.write(asked)
        return arrays | asked

    def _score(self, searches: Sequence[Search], seconds: float) -> list[_Scores]:
        """Scores of the documents of each search, in their order."""
        arrays = []
        for search, found in zip(searches, self._index.scores(searches, seconds), strict=True):
            array = np.array([found.get(doc_id, -np.inf) for doc_id in search.ids], dtype=np.float64)
            if np.isnan(array).any() or (array == np.inf).any():
                raise RetrieverError(f"expected finite scores for {search.text[:60]!r} from {self._index.place}")
            arrays.append(array)
        return arrays

    def _rank(self, wanted: Sequence[tuple[str, int]], seconds: float) -> list[_Scores]:
        """Rows, then scores, of the best documents for each text and k: float64 (2 k',)."""
        return [np.concatenate(self._best(text, k, seconds)) for text, k in wanted]

    def _best(self, text: str, k: int, seconds: float) -> tuple[_Scores, _Scores]:
        """Rows and scores of the best k documents, by (-score, row)."""
        size = k + _MORE
        while True:
            size = min(size, self._index.window)
            found = self._index.best(text, size, seconds)
            known = [(self._row_of[doc_id], score) for doc_id, score in found if doc_id in self._row_of]
            ends = len(found) < size or size == self._index.window
            if ends or (len(known) > k and known[-1][1] < known[k - 1][1]):
                break
            size *= _GROWTH
        rows = np.array([row for row, _ in known], dtype=np.float64)
        scores = np.array([score for _, score in known], dtype=np.float64)
        order = np.lexsort((rows, -scores))[:k]
        return rows[order], scores[order]

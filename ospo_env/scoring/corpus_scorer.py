"""Rankings of the whole corpus by texts, and worths of coalitions from those: without duplicates, cached."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ospo_env.errors import RetrieverError
from ospo_env.metrics import Metric
from ospo_env.retrievers.base import Retriever
from ospo_env.scoring.candidate_pools import CandidatePools
from ospo_env.scoring.coalition_plans import plan_game
from ospo_env.scoring.pool_scorer import Judged, dealt, typed_failure
from ospo_env.scoring.text_cache import CACHE_BYTES, Key, TextCache

__all__ = ["DEPTH", "CorpusScorer"]

DEPTH = 1000
"""Documents of a ranking that count."""

_CHUNK = 4096  # rankings measured at once; it changes no value


class CorpusScorer:
    """Puts texts to a retriever, each on all documents, and measures the rankings' first :data:`DEPTH` places.

    Like :class:`~ospo_env.scoring.pool_scorer.PoolScorer`, but for what is ranked: gains count wherever a document
    lies, and every coalition's text is ranked by itself.

    Args:
        retriever: Ranks the corpus.
        pools: The judgements; queries are named by their rows in it.
        metric: What a worth and a reward is.
        cache_bytes: Bound on the size of the cache.
    """

    def __init__(
        self, retriever: Retriever, pools: CandidatePools, metric: Metric, cache_bytes: int = CACHE_BYTES
    ) -> None:
        self._retriever = retriever
        self._pools = pools
        self._metric = metric
        self._known = TextCache(cache_bytes)

    @property
    def counters(self) -> Mapping[str, int]:
        """As those of ``PoolScorer``."""
        return self._known.counters

    def judged(self, queries: NDArray[np.int64], texts: Sequence[str], metrics: Sequence[Metric]) -> Judged:
        """Metrics (M, B) and rankings of B texts, each at most :data:`DEPTH` document rows."""
        self._known.ask(len(texts))
        rankings = self._rank(zip(queries.tolist(), texts, strict=True))
        return self._measure(queries, rankings, metrics), rankings

    def rewards(self, queries: NDArray[np.int64], texts: Sequence[str]) -> NDArray[np.float64]:
        """The metric of each text's ranking: float64 (B,) in [0, 1]."""
        values: NDArray[np.float64] = self.judged(queries, texts, [self._metric])[0][0]
        return values

    def worths(
        self,
        queries: NDArray[np.int64],
        texts: Sequence[str],
        spans: Sequence[NDArray[np.int64]],
        coalitions: Sequence[NDArray[np.bool_]],
    ) -> list[NDArray[np.float64]]:
        """The worth of each coalition of each text's segments; arguments and result as those of ``PoolScorer``."""
        self._known.ask(sum(map(len, coalitions)))
        games = [
            plan_game(query, text, segments, matrix, linear=False)
            for query, text, segments, matrix in zip(queries.tolist(), texts, spans, coalitions, strict=True)
        ]
        keys = [(game.query, text) for game in games for text in game.texts]
        (values,) = self._measure(np.array([query for query, _ in keys], np.int64), self._rank(keys), [self._metric])
        worths = [np.zeros(len(matrix)) for matrix in coalitions]
        for game, worth, mine in zip(games, worths, dealt(values, [len(game.texts) for game in games]), strict=True):
            worth[game.places] = mine[game.text_of]
        return worths

    def _rank(self, keys: Iterable[Key]) -> list[NDArray[np.int32]]:
        """The ranking of each key's text; it does not depend on the query, so that it is known by the text alone."""

        def find(missing: Sequence[Key]) -> Iterator[NDArray[np.int32]]:
            return (self._ranked(text) for _, text in missing)

        texts = [text for _, text in keys]
        known = self._known.found([(0, text) for text in texts], find)
        return [known[0, text] for text in texts]

    def _ranked(self, text: str) -> NDArray[np.int32]:
        name = self._retriever.name
        with typed_failure(name, "on ranking the corpus"):
            rows = np.asarray(self._retriever.rank_corpus(text, DEPTH)[0])
        total = self._pools.corpus_size
        known = rows.ndim == 1 and rows.dtype.kind in "iu" and len(rows) <= DEPTH and len(np.unique(rows)) == len(rows)
        if not known or (len(rows) and not 0 <= rows.min() <= rows.max() < total):
            raise RetrieverError(
                f"retriever {name!r}: expected at most {DEPTH} distinct document rows below {total:,} for the text "
                f"{text[:60]!r}; got {rows.dtype} of shape {rows.shape}"
            )
        return rows.astype(np.int32)

    def _measure(
        self, queries: NDArray[np.int64], rankings: Sequence[NDArray[np.int32]], metrics: Sequence[Metric]
    ) -> NDArray[np.float64]:
        """M metrics of B rankings: (M, B)."""
        depth = max(min(metric.cutoff or DEPTH, DEPTH) for metric in metrics)
        values = np.empty((len(metrics), len(rankings)))
        for first in range(0, len(rankings), _CHUNK):
            some = slice(first, first + _CHUNK)
            ranked = np.zeros((len(rankings[some]), depth))
            for query, found, gains in zip(queries[some].tolist(), rankings[some], ranked, strict=True):
                rows, gain = self._pools.judged_documents(query)
                order = np.argsort(rows)
                place = np.minimum(np.searchsorted(rows[order], found[:depth]), len(rows) - 1)
                gains[: len(found)] = np.where(rows[order][place] == found[:depth], gain[order][place], 0.0)
            judged = self._pools.judged_batch(queries[some])
            for metric, value in zip(metrics, values, strict=True):
                value[some] = metric.of_ranked(ranked, judged)
        return values

"""Rankings of the whole corpus by texts, and worths of coalitions from those: without duplicates, cached."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ospo_env.metrics import Metric
from ospo_env.scoring.base import Measured, Scorer, interpolate
from ospo_env.scoring.calls import rankings
from ospo_env.scoring.coalition_plans import drop_null_players, plan_game
from ospo_env.scoring.limits import Limit
from ospo_env.scoring.text_cache import Key

__all__ = ["DEPTH", "CorpusScorer"]

DEPTH = 1000
"""Documents of a ranking that count."""

_CHUNK = 4096  # rankings measured at once; it changes no value


class CorpusScorer(Scorer):
    """Ranks all documents for each text, and measures the first :data:`DEPTH` places of the rankings.

    Gains count wherever a document lies, and every coalition's text is ranked by itself.
    """

    def measured(self, queries: NDArray[np.int64], texts: Sequence[str], metrics: Sequence[Metric]) -> Measured:
        """As :meth:`Scorer.measured`; a ranking has at most :data:`DEPTH` document rows."""
        self._cache.ask(len(texts))
        rankings = self._rank(self._sent(zip(queries.tolist(), texts, strict=True)))
        return Measured(self._measure(queries, rankings, metrics), rankings)

    def rewards(self, queries: NDArray[np.int64], texts: Sequence[str]) -> NDArray[np.float64]:
        """As :meth:`Scorer.rewards`."""
        values: NDArray[np.float64] = self.measured(queries, texts, [self._metric]).values[0]
        return values

    def worths(
        self,
        queries: NDArray[np.int64],
        texts: Sequence[str],
        spans: Sequence[NDArray[np.int64]],
        coalitions: Sequence[NDArray[np.bool_]],
        limits: Sequence[Limit] | None = None,
    ) -> list[NDArray[np.float64]]:
        """As :meth:`Scorer.worths`; worths that were not called are interpolated, since rankings have no scores."""
        self._cache.ask(sum(map(len, coalitions)))
        players = [drop_null_players(*pair) for pair in zip(spans, coalitions, strict=True)]
        games = [
            plan_game(query, text, *pair, front=self._composer.front(query))
            for query, text, pair in zip(queries.tolist(), texts, players, strict=True)
        ]
        text_games = self._text_games(texts, players, games, limits)
        keys = [key for game in text_games for key in game.called_keys]
        (values,) = self._measure(np.array([query for query, _ in keys], np.int64), self._rank(keys), [self._metric])
        worths = [np.zeros(len(matrix)) for matrix in coalitions]
        self._settle(text_games, values, worths, interpolate)
        return worths

    def _rank(self, keys: Iterable[Key]) -> list[NDArray[np.int32]]:
        """The ranking of each key's text, without the query's own document.

        But for that document it does not depend on the query, so that the cache keeps it by the text alone.
        """
        own_rows, size = self._pools.own_rows, self._pools.corpus_size
        depth = DEPTH + self._pools.has_own_rows

        def compute(missing: Sequence[Key]) -> Iterator[NDArray[np.int32]]:
            texts = [text for _, text in missing]
            ranked = rankings(self._retriever, texts, depth, size, self._cache.count_stored)
            return (rows for rows, _ in ranked)

        keys = list(keys)
        ranking_of = self._cache.arrays([(0, text) for _, text in keys], compute)
        return [_without(ranking_of[0, text], own_rows[query])[:DEPTH] for query, text in keys]

    def _measure(
        self, queries: NDArray[np.int64], rankings: Sequence[NDArray[np.int32]], metrics: Sequence[Metric]
    ) -> NDArray[np.float64]:
        """M metrics of B rankings: (M, B)."""
        depth = max(min(metric.cutoff or DEPTH, DEPTH) for metric in metrics)
        values = np.empty((len(metrics), len(rankings)))
        for first in range(0, len(rankings), _CHUNK):
            some = slice(first, first + _CHUNK)
            ranked = np.zeros((len(rankings[some]), depth))
            for query, ranking, gains in zip(queries[some].tolist(), rankings[some], ranked, strict=True):
                rows, gain = self._pools.judged_documents(query)
                order = np.argsort(rows)
                place = np.minimum(np.searchsorted(rows[order], ranking[:depth]), len(rows) - 1)
                gains[: len(ranking)] = np.where(rows[order][place] == ranking[:depth], gain[order][place], 0.0)
            judged = self._pools.judged_batch(queries[some])
            for metric, value in zip(metrics, values, strict=True):
                value[some] = metric.of_ranked(ranked, judged)
        return values


def _without(ranking: NDArray[np.int32], row: np.int32) -> NDArray[np.int32]:
    return ranking if row < 0 else ranking[ranking != row]

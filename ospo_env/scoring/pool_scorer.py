"""Scores of texts on their queries' pools, and worths of coalitions: batched, without duplicates, cached."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ospo_env.errors import RetrieverError
from ospo_env.metrics import Metric, ranked_gains, ranking
from ospo_env.scoring.base import Measured, Scorer, interpolate, split_values
from ospo_env.scoring.calls import pool_scores, retriever_errors
from ospo_env.scoring.coalition_plans import Game, Sums, added_scores, drop_null_players, plan_game, plan_sums
from ospo_env.scoring.estimates import ScoreFit
from ospo_env.scoring.limits import Limit
from ospo_env.scoring.split_words import SplitText, split_repeats, whole_segments
from ospo_env.scoring.text_cache import Key
from ospo_env.scoring.text_games import TextGame

__all__ = ["PoolScorer"]

_CHUNK = 4096  # rankings measured at once; it changes no value

_Scores: TypeAlias = NDArray[np.float64]


class PoolScorer(Scorer):
    """Scores texts on the candidate pools of their queries, and measures the rankings.

    One call of a method is at most one call of the retriever, on what is left after duplicates were removed and
    cached score rows were taken (the least recently used rows leave the cache).
    """

    def scores(self, queries: NDArray[np.int64], texts: Sequence[str]) -> _Scores:
        """Scores of B rewrites on their queries' pools: float64 (B, P), -inf where not matched or padded."""
        self._cache.ask(len(texts))
        keys = self._sent(zip(queries.tolist(), texts, strict=True))
        rows = self._score(keys)
        return _stack([rows[key] for key in keys])

    def measured(self, queries: NDArray[np.int64], texts: Sequence[str], metrics: Sequence[Metric]) -> Measured:
        """As :meth:`Scorer.measured`."""
        scores = self.scores(queries, texts)
        places = ranking(scores)
        rows = [self._pools.documents(query)[place] for query, place in zip(queries.tolist(), places, strict=True)]
        return Measured(self.measure(queries, scores, metrics), rows)

    def measure(self, queries: NDArray[np.int64], scores: _Scores, metrics: Sequence[Metric] | None = None) -> _Scores:
        """M metrics, by default the scorer's own, of B rows of scores (B, P): float64 (M, B) in [0, 1]."""
        metrics = [self._metric] if metrics is None else metrics
        pool = scores.shape[1]
        depth = max(min(metric.cutoff or pool, pool) for metric in metrics)
        values = np.empty((len(metrics), len(scores)))
        for first in range(0, len(scores), _CHUNK):
            chunk = slice(first, first + _CHUNK)
            ranked = ranked_gains(scores[chunk], *self._pools.gain_batch(queries[chunk]), depth)
            judged = self._pools.judged_batch(queries[chunk])
            for metric, value in zip(metrics, values, strict=True):
                value[chunk] = metric.of_ranked(ranked, judged)
        return values

    def rewards(self, queries: NDArray[np.int64], texts: Sequence[str]) -> _Scores:
        """As :meth:`Scorer.rewards`."""
        values: _Scores = self.measure(queries, self.scores(queries, texts))[0]
        return values

    def worths(
        self,
        queries: NDArray[np.int64],
        texts: Sequence[str],
        spans: Sequence[NDArray[np.int64]],
        coalitions: Sequence[NDArray[np.bool_]],
        limits: Sequence[Limit] | None = None,
    ) -> list[_Scores]:
        """As :meth:`Scorer.worths`.

        With a linear retriever, and cuts between its units, the scores of partial coalitions are sums of segment
        scores; otherwise their texts are scored. Beyond a limit they are estimated: rankings by fitted scores are
        measured, or worths are interpolated where a score depends on the other documents of the pool.
        """
        self._cache.ask(sum(map(len, coalitions)))
        players = [drop_null_players(*pair) for pair in zip(spans, coalitions, strict=True)]
        games = [
            self._plan(query, text, *pair) for query, text, pair in zip(queries.tolist(), texts, players, strict=True)
        ]
        text_games = self._text_games(texts, players, games, limits)
        keys = [key for game in text_games for key in game.called_keys]
        rows = self._score(chain(keys, ((game.query, segment) for game in games for segment in game.segments)))
        worths = [np.zeros(len(matrix)) for matrix in coalitions]
        self._settle_sums(games, rows, worths)
        (values,) = self.measure(np.array([query for query, _ in keys], np.int64), _stack([rows[key] for key in keys]))
        fusion = getattr(self._retriever, "depends_on_pool", False)
        self._settle(text_games, values, worths, interpolate if fusion else partial(self._fit, rows))
        return worths

    def _plan(self, query: int, text: str, spans: NDArray[np.int64], coalitions: NDArray[np.bool_]) -> Game:
        return plan_game(query, text, spans, coalitions, self._split(query, text, spans), self._composer.front(query))

    def _split(self, query: int, text: str, spans: NDArray[np.int64]) -> SplitText | None:
        """The parts of a text whose scores add up to those of its coalitions; ``None`` if there are none."""
        name = self._retriever.name
        with retriever_errors(name, "on the cuts of a text"):
            if not self._retriever.linear:
                return None
        known = self._composer.known_words(query)
        split = whole_segments(text, spans) if known is None else split_repeats(text, spans, known)
        with retriever_errors(name, "on the cuts of a text"):
            clean: object = self._retriever.cuts_cleanly(text, split.cuts)
        if not isinstance(clean, bool | np.bool_):
            raise RetrieverError(f"retriever {name!r}: expected a bool from cuts_cleanly; got {type(clean).__name__}")
        return split if clean and split.exact else None

    def _settle_sums(self, games: Sequence[Game], rows: Mapping[Key, _Scores], worths: Sequence[_Scores]) -> None:
        """Fill in the worths of the games whose scores are sums; equal pools are measured together."""
        alike: dict[tuple[int, str, float], list[tuple[Sums, _Scores]]] = {}
        for game, worth in zip(games, worths, strict=True):
            if game.segments:
                sums = plan_sums(game, {segment: rows[game.query, segment] for segment in game.segments})
                alike.setdefault((game.query, sums.summands.dtype.str, sums.floor), []).append((sums, worth))
        for (query, _, floor), members in alike.items():
            one = np.array([query])
            gains, judged = self._pools.gain_batch(one), self._pools.judged_batch(one)
            chunks = added_scores([sums for sums, _ in members])
            values = np.concatenate([self._metric(chunk, *gains, judged, floor) for chunk in chunks])
            split = split_values(values, [len(worth) for _, worth in members])
            for (_, worth), mine in zip(members, split, strict=True):
                worth[:] = mine

    def _fit(self, rows: Mapping[Key, _Scores], game: TextGame, values: _Scores) -> _Scores:
        """Worths of a game's texts that are unknown, by scores fitted to those that were called.

        Args:
            rows: Scores (P,) of what was called.
            game: The game.
            values: Worths of its texts (T,), nan where they are unknown.
        """
        coalitions, empty = game.coalitions, game.empty()
        assert coalitions is not None
        called = [index for index in game.called if index != empty]
        front = self._composer.front(game.game.query)
        fit = ScoreFit(
            coalitions[called],
            np.stack([rows[game.keys[index]] for index in called]),
            np.stack([rows[key] for key in game.single_keys()]),
            None if empty is None else rows[game.keys[empty]],
            1 if front is None else front[1],
        )
        unknown = coalitions[np.isnan(values)]
        queries = np.full(len(unknown), game.game.query)
        fitted = np.empty(len(unknown))
        for first in range(0, len(unknown), _CHUNK):
            some = slice(first, first + _CHUNK)
            (fitted[some],) = self.measure(queries[some], fit(unknown[some]))
        return fitted

    def _score(self, keys: Iterable[Key]) -> dict[Key, _Scores]:
        """Score rows (P,) of all distinct keys, in one call of the retriever at most."""

        def compute(missing: Sequence[Key]) -> Iterator[_Scores]:
            pools = self._pools.document_batch(np.array([query for query, _ in missing]))
            scores = pool_scores(self._retriever, [text for _, text in missing], pools, self._cache.count_stored)
            return (row[: self._pools.size(query)].copy() for (query, _), row in zip(missing, scores, strict=True))

        return self._cache.arrays(keys, compute)


def _stack(rows: Sequence[_Scores]) -> _Scores:
    """Rows of scores (P,) as one matrix, shorter ones padded with -inf."""
    stacked = np.full((len(rows), max((len(row) for row in rows), default=0)), -np.inf)
    for place, row in zip(stacked, rows, strict=True):
        place[: len(row)] = row
    return stacked

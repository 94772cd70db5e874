"""Scores of texts on their queries' pools, and worths of coalitions: batched, without duplicates, cached."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import accumulate, pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ospo_env.errors import RetrieverError
from ospo_env.metrics import Metric, ranked_gains, ranking
from ospo_env.retrievers.base import Retriever
from ospo_env.scoring.candidate_pools import CandidatePools
from ospo_env.scoring.coalition_plans import Game, Sums, added_scores, plan_game, plan_sums
from ospo_env.scoring.text_cache import CACHE_BYTES, Key, TextCache

__all__ = ["Judged", "PoolScorer", "dealt", "typed_failure"]

_CHUNK = 4096  # rankings measured at once; it changes no value

_Scores: TypeAlias = NDArray[np.float64]

Judged: TypeAlias = tuple[_Scores, list[NDArray[np.int32]]]
"""Values of M metrics (M, B), and for each of B texts the rows of the documents it matches, best first."""


class PoolScorer:
    """Puts texts to a retriever, each on the pool of its query, and measures the rankings.

    One call of a method is at most one call of the retriever, on what is left after duplicates were removed and
    texts known from earlier calls were taken from a cache of score rows (least recently used ones leave). Whether a
    row came from the cache, and which others it was computed with, changes no value.

    Args:
        retriever: Scores texts.
        pools: The candidate pools; queries are named by their rows in it.
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
        """Work since the scorer was made.

        ``asked``: texts and coalitions put to it. ``distinct``: texts whose scores that took, after duplicates were
        removed within each call; a linear retriever needs those of segments, not of coalitions. ``cached``: those of
        them that were known from earlier calls. So the retriever has scored ``distinct - cached`` texts.
        """
        return self._known.counters

    def scores(self, queries: NDArray[np.int64], texts: Sequence[str]) -> _Scores:
        """Scores of B texts on their queries' pools: float64 (B, P), -inf where not matched or padded."""
        self._known.ask(len(texts))
        keys = list(zip(queries.tolist(), texts, strict=True))
        known = self._score(keys)
        return _stack([known[key] for key in keys])

    def judged(self, queries: NDArray[np.int64], texts: Sequence[str], metrics: Sequence[Metric]) -> Judged:
        """Metrics and rankings of B texts, from one scoring."""
        scores = self.scores(queries, texts)
        places = ranking(scores)
        rows = [self._pools.documents(query)[place] for query, place in zip(queries.tolist(), places, strict=True)]
        return self.measure(queries, scores, metrics), rows

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
        """The metric of each text's ranking: float64 (B,) in [0, 1]."""
        values: _Scores = self.measure(queries, self.scores(queries, texts))[0]
        return values

    def worths(
        self,
        queries: NDArray[np.int64],
        texts: Sequence[str],
        spans: Sequence[NDArray[np.int64]],
        coalitions: Sequence[NDArray[np.bool_]],
    ) -> list[_Scores]:
        """The worth of each coalition of each text's segments.

        A coalition that keeps no character is worth 0, one that keeps them all what :meth:`rewards` gives. With a
        linear retriever, and cuts between its units, the scores of the others are sums of segment scores; otherwise
        their texts are scored.

        Args:
            queries: int64 (B,).
            texts: B texts, capped.
            spans: Their segments, which tile them, B times int64 (N_b, 2); segments without characters are null
                players.
            coalitions: B times bool (C_b, N_b).

        Returns:
            B times float64 (C_b,).
        """
        self._known.ask(sum(map(len, coalitions)))
        games = [
            plan_game(query, text, segments, matrix, linear=self._adds_up(text, segments))
            for query, text, segments, matrix in zip(queries.tolist(), texts, spans, coalitions, strict=True)
        ]
        known = self._score((game.query, text) for game in games for text in (*game.texts, *game.segments))
        worths = [np.zeros(len(matrix)) for matrix in coalitions]
        self._settle_sums(games, known, worths)
        self._settle_texts(games, known, worths)
        return worths

    def _adds_up(self, text: str, spans: NDArray[np.int64]) -> bool:
        """Whether the scores of the text's coalitions are sums over its segments."""
        with typed_failure(self._retriever.name, "on the cuts of a text"):
            return self._retriever.linear and self._retriever.cuts_cleanly(text, spans[:, 0].tolist())

    def _settle_sums(self, games: Sequence[Game], known: Mapping[Key, _Scores], worths: Sequence[_Scores]) -> None:
        """Fill in the worths of the games whose scores are sums; equal pools are measured together."""
        alike: dict[tuple[int, str, float], list[tuple[Sums, _Scores]]] = {}
        for game, worth in zip(games, worths, strict=True):
            if game.segments:
                sums = plan_sums(game, {segment: known[game.query, segment] for segment in game.segments})
                alike.setdefault((game.query, sums.summands.dtype.str, sums.floor), []).append((sums, worth))
        for (query, _, floor), members in alike.items():
            row = np.array([query])
            gains, judged = self._pools.gain_batch(row), self._pools.judged_batch(row)
            chunks = added_scores([sums for sums, _ in members])
            values = np.concatenate([self._metric(chunk, *gains, judged, floor) for chunk in chunks])
            for (_, worth), mine in zip(members, dealt(values, [len(worth) for _, worth in members]), strict=True):
                worth[:] = mine

    def _settle_texts(self, games: Sequence[Game], known: Mapping[Key, _Scores], worths: Sequence[_Scores]) -> None:
        """Fill in the worths of the coalitions whose texts were scored."""
        keys = [(game.query, text) for game in games for text in game.texts]
        queries = np.array([query for query, _ in keys], dtype=np.int64)
        (values,) = self.measure(queries, _stack([known[key] for key in keys]))
        for game, worth, mine in zip(games, worths, dealt(values, [len(game.texts) for game in games]), strict=True):
            worth[game.places] = mine[game.text_of]

    def _score(self, keys: Iterable[Key]) -> dict[Key, _Scores]:
        """Score rows (P,) of all distinct keys, in one call of the retriever at most."""

        def find(missing: Sequence[Key]) -> Iterator[_Scores]:
            pools = self._pools.document_batch(np.array([query for query, _ in missing]))
            scores = _checked_scores(self._retriever, [text for _, text in missing], pools)
            return (row[: self._pools.size(query)].copy() for (query, _), row in zip(missing, scores, strict=True))

        return self._known.found(keys, find)


def _stack(rows: Sequence[_Scores]) -> _Scores:
    """Rows of scores (P,) as one matrix, shorter ones padded with -inf."""
    stacked = np.full((len(rows), max((len(row) for row in rows), default=0)), -np.inf)
    for place, row in zip(stacked, rows, strict=True):
        place[: len(row)] = row
    return stacked


def dealt(values: _Scores, sizes: Sequence[int]) -> list[_Scores]:
    """Consecutive parts of values (sum of sizes,)."""
    return [values[first:end] for first, end in pairwise([0, *accumulate(sizes)])]


@contextmanager
def typed_failure(name: str, where: str) -> Iterator[None]:
    """What a retriever raises becomes a :class:`RetrieverError` that names it."""
    try:
        yield
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise RetrieverError(f"retriever {name!r} failed {where}: {reason}") from error


def _checked_scores(retriever: Retriever, texts: Sequence[str], pools: NDArray[np.int32]) -> _Scores:
    """What the retriever returns, if it is scores (B, P): finite or -inf."""
    name = retriever.name
    with typed_failure(name, f"on a batch of {len(texts)} texts"):
        scores = np.asarray(retriever.score_pools(texts, pools))
    if scores.shape != pools.shape or scores.dtype.kind not in "fiu":
        raise RetrieverError(
            f"retriever {name!r}: expected numbers of shape {pools.shape}; got {scores.dtype} of shape {scores.shape}"
        )
    scores = scores.astype(np.float64)
    wrong = np.isnan(scores) | (scores == np.inf)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise RetrieverError(
            f"retriever {name!r}: expected finite scores, or -inf for no match; got {scores[row, column]} for the "
            f"text {texts[row][:60]!r} and document row {pools[row, column]}"
        )
    return scores

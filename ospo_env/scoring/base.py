"""The interface of both scorers with their one constructor, and the helpers that they share."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ospo_env.metrics import Metric
from ospo_env.retrievers.base import Retriever
from ospo_env.scoring.candidate_pools import CandidatePools
from ospo_env.scoring.coalition_plans import Game
from ospo_env.scoring.composer import Composer
from ospo_env.scoring.estimates import interpolated_worths
from ospo_env.scoring.limits import Limit
from ospo_env.scoring.text_cache import CACHE_BYTES, Key, TextCache
from ospo_env.scoring.text_games import TextGame, limited_game, widened_game

__all__ = ["Measured", "Scorer", "interpolate", "split_values"]


_Players: TypeAlias = tuple[NDArray[np.int64], NDArray[np.bool_]]
"""Segments of a text (N, 2), none of them empty, and coalitions of them (C, N)."""


class Measured(NamedTuple):
    """Metrics and rankings of B texts.

    Attributes:
        values: M metrics, float64 (M, B) in [0, 1].
        rankings: Document rows of each ranking, best first; documents that the text does not match are absent.
    """

    values: NDArray[np.float64]
    rankings: list[NDArray[np.int32]]


class Scorer(ABC):
    """Ranks documents for texts and measures the rankings.

    A method calls the retriever only for texts that are not in the scorer's cache, each distinct one once. Neither the
    cache nor the other texts of a call change a value. Queries are rows of the candidate pools.

    Args:
        retriever: The retriever that ranks.
        pools: Candidate pools and judgements of all queries.
        metric: The metric of rewards and worths.
        composer: Makes the texts that the retriever is sent.
        cache_bytes: Bound on the size of the cache.
    """

    def __init__(
        self,
        retriever: Retriever,
        pools: CandidatePools,
        metric: Metric,
        composer: Composer,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self._retriever = retriever
        self._pools = pools
        self._metric = metric
        self._composer = composer
        self._cache = TextCache(cache_bytes)

    @property
    def counters(self) -> Mapping[str, int]:
        """Work since the scorer was made.

        ``asked``: texts and coalitions passed to it. ``distinct``: texts whose scores were needed, after duplicates
        were removed within each call; a linear retriever needs those of segments, not of coalitions. ``cached``: those
        of them that earlier calls had left in the cache. ``stored``: those that the retriever found on disk, as
        engines may. So the retriever has scored ``distinct - cached - stored`` texts. ``estimated``: coalitions whose
        worth was estimated instead.
        """
        return self._cache.counters

    def _sent(self, kept: Iterable[Key]) -> list[Key]:
        """Queries and the texts that are sent, from queries and the parts of rewrites that are kept."""
        pairs = list(kept)
        queries = [query for query, _ in pairs]
        return list(zip(queries, self._composer.texts(queries, [text for _, text in pairs]), strict=True))

    def _text_games(
        self,
        texts: Sequence[str],
        players: Sequence[_Players],
        games: Sequence[Game],
        limits: Sequence[Limit] | None,
    ) -> list[TextGame]:
        """B games with the texts to call; limits are as for :meth:`worths`."""
        wide = {}
        for b, (game, limit) in enumerate(zip(games, limits or (), strict=limits is not None)):
            if len(game.texts) > limit.calls:
                wide[b] = widened_game(game.query, texts[b], *players[b], self._composer.front(game.query))
        games = [wide[b][0] if b in wide else game for b, game in enumerate(games)]
        keys = self._sent((game.query, text) for game in games for text in game.texts)
        ends = list(accumulate((len(game.texts) for game in games), initial=0))
        text_games = []
        for b, game in enumerate(games):
            own = keys[ends[b] : ends[b + 1]]
            if b in wide and limits is not None:
                text_games.append(limited_game(game, own, wide[b][1], len(players[b][1]), limits[b]))
            else:
                text_games.append(TextGame(game, own, range(len(own))))
        return text_games

    def _settle(
        self,
        games: Sequence[TextGame],
        values: NDArray[np.float64],
        worths: Sequence[NDArray[np.float64]],
        estimate: Callable[[TextGame, NDArray[np.float64]], NDArray[np.float64]],
    ) -> None:
        """Fill in the worths of coalitions that are those of texts.

        Args:
            games: B games.
            values: Worths of the texts that were called, of all games in order.
            worths: B times float64 (C_b,), to write.
            estimate: Function from a game and the worths of its texts (T,), nan where they are unknown, to estimates
                of those that are unknown.
        """
        for game, called, worth in zip(
            games, split_values(values, [len(game.called) for game in games]), worths, strict=True
        ):
            of_texts = game.known_values(called)
            unknown = np.isnan(of_texts)
            if game.coalitions is not None:
                of_texts[unknown] = estimate(game, of_texts)
                self._cache.count_estimated(int(unknown[game.settle(of_texts, worth)].sum()))
            else:
                game.settle(of_texts, worth)

    @abstractmethod
    def measured(self, queries: NDArray[np.int64], texts: Sequence[str], metrics: Sequence[Metric]) -> Measured:
        """Metrics and rankings of B rewrites, capped, from one scoring."""

    @abstractmethod
    def rewards(self, queries: NDArray[np.int64], texts: Sequence[str]) -> NDArray[np.float64]:
        """The scorer's metric of each rewrite's ranking, float64 (B,) in [0, 1]; rewrites are capped."""

    @abstractmethod
    def worths(
        self,
        queries: NDArray[np.int64],
        texts: Sequence[str],
        spans: Sequence[NDArray[np.int64]],
        coalitions: Sequence[NDArray[np.bool_]],
        limits: Sequence[Limit] | None = None,
    ) -> list[NDArray[np.float64]]:
        """The worth of each coalition of each rewrite's segments.

        A coalition that keeps no character is worth 0, or with the query in front what the raw query is; one that keeps
        them all what :meth:`rewards` gives.

        Args:
            queries: int64 (B,).
            texts: B rewrites, capped.
            spans: Their segments, which tile them, B times int64 (N_b, 2); segments without characters are null
                players.
            coalitions: B times bool (C_b, N_b).
            limits: Bound on the calls of each rewrite; ``None`` for none. Other worths are estimated from those that
                were called. The grand coalition is always called.

        Returns:
            B times float64 (C_b,).

        Raises:
            RetrieverError: The retriever failed.
        """


def split_values(values: NDArray[np.float64], sizes: Sequence[int]) -> list[NDArray[np.float64]]:
    """Split values (sum of sizes,) into consecutive parts of these sizes."""
    return [values[start:end] for start, end in pairwise([0, *accumulate(sizes)])]


def interpolate(game: TextGame, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Worths of a game's texts that are unknown, from those that are known: values (T,), nan where unknown."""
    coalitions = game.coalitions
    assert coalitions is not None
    unknown = np.isnan(values)
    known, worths = coalitions[~unknown], values[~unknown]
    if coalitions.any(axis=1).all():  # no text, and so worth 0
        known = np.concatenate([known, np.zeros((1, known.shape[1]), dtype=np.bool_)])
        worths = np.append(worths, 0.0)
    return interpolated_worths(known, worths, coalitions[unknown])

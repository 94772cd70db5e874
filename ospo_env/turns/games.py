"""Games of episodes: players are phrases of searches, and a coalition's searches are replayed without the others.

The worth of a coalition is the best metric among the searches that are left, less the price of each. A search of which
no phrase that counts is kept is not made and costs nothing, so that the empty coalition is worth 0. A coalition's worth
is arithmetic on the worths of parts of single searches, which are few: 2^n of n phrases of a search, not 2^N of all.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ospo_env.errors import TaskError
from ospo_env.turns.actions import turn_spans

__all__ = ["PartGame", "combine", "part_games", "settle"]


class PartGame(NamedTuple):
    """One search of an episode, and the coalitions of its own phrases that its episode's coalitions need.

    Attributes:
        search: The text of the search.
        spans: Its n phrases as character spans that tile it, int64 (n, 2); those beyond the word cap too.
        masks: Distinct coalitions of them that keep a phrase that counts, bool (P, n).
        part: Row of ``masks`` for each coalition of the episode (C,); -1 where the search is not made.
    """

    search: str
    spans: NDArray[np.int64]
    masks: NDArray[np.bool_]
    part: NDArray[np.intp]


def part_games(
    episode: str,
    spans: NDArray[np.int64],
    coalitions: NDArray[np.bool_],
    scored: Sequence[int],
    where: str = "",
) -> list[PartGame]:
    """The games of an episode's searches.

    A phrase counts if it begins within the characters of its search that count, or is the first of its search, which
    may be blank. A coalition makes a search if it keeps a phrase of it that counts.

    Args:
        episode: The text of the episode.
        spans: Its N segments, which tile it, int64 (N, 2).
        coalitions: bool (C, N).
        scored: Characters that count of each search that is played; later lines are not played.
        where: Words for the error message, for example ``" of text 3"``.

    Raises:
        TaskError: A segment reaches from one line into another.
    """
    starts, ends = spans.T
    games = []
    for number, ((first, end), length) in enumerate(zip(turn_spans(episode), scored, strict=False)):
        own = np.flatnonzero((starts >= first) & (starts < end) & (ends > starts))
        if not len(own) or starts[own[0]] != first or ends[own[-1]] != end:
            raise TaskError(
                f"expected the segments{where} to lie within turns, which are lines with the line break that ends "
                f"them, but turn {number} at ({first}, {end}) is cut elsewhere; cut with 'phrases-in-turns'"
            )
        search = episode[first:end].removesuffix("\n")
        counted = np.flatnonzero((np.arange(len(own)) == 0) | (starts[own] - first < length))
        columns = coalitions[:, own[counted]]
        kept = columns.any(axis=1)
        part = np.full(len(coalitions), -1, dtype=np.intp)
        rows, inverse = np.unique(columns[kept], axis=0, return_inverse=True)
        part[kept] = inverse.reshape(-1)
        masks = np.zeros((len(rows), len(own)), dtype=np.bool_)
        masks[:, counted] = rows
        games.append(PartGame(search, np.minimum(spans[own] - first, len(search)), masks, part))
    return games


def combine(
    games: Sequence[PartGame], values: Sequence[NDArray[np.float64]], coalitions: int, price: float
) -> NDArray[np.float64]:
    """Worths of an episode's coalitions, float64 (C,).

    Args:
        games: The games of its T searches.
        values: Worths of the masks of each, T times float64 (P_t,).
        coalitions: C.
        price: Price of a search.
    """
    metrics = np.full((len(games), coalitions), -np.inf)
    for metric, game, of_masks in zip(metrics, games, values, strict=True):
        made = game.part >= 0
        metric[made] = of_masks[game.part[made]]
    return settle(metrics, price)


def settle(metrics: NDArray[np.float64], price: float) -> NDArray[np.float64]:
    """The best metric among searches, less the price of each; 0 without a search: float64 (C,).

    Args:
        metrics: Metric of each of T searches in each of C coalitions, float64 (T, C); -inf where it is not made.
        price: Price of a search.

    >>> settle(np.array([[0.25, -np.inf, -np.inf], [0.75, 0.75, -np.inf]]), 0.125)
    array([0.5  , 0.625, 0.   ])
    """
    made = (metrics > -np.inf).sum(axis=0)
    best = metrics.max(axis=0, initial=-np.inf)
    return np.where(made > 0, np.where(made > 0, best, 0.0) - price * made, 0.0)

"""Coalitions of a text that are valued by their own texts, all of them or as many as may be called."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ospo_env.scoring.call_choice import choose_coalitions
from ospo_env.scoring.coalition_plans import Game, plan_game
from ospo_env.scoring.limits import Limit
from ospo_env.scoring.text_cache import Key

__all__ = ["TextGame", "limited_game", "widened_game"]


class TextGame(NamedTuple):
    """The coalitions of one text whose worths are those of texts.

    Attributes:
        game: The coalitions, sorted; where some are estimated also those that the estimates need.
        keys: Query and sent text of each of ``game.texts`` (T,).
        called: Indices of the texts to call.
        coalitions: The coalition of each text, bool (T, N), where the other texts are estimated; else ``None``.
    """

    game: Game
    keys: Sequence[Key]
    called: Sequence[int]
    coalitions: NDArray[np.bool_] | None = None

    @property
    def called_keys(self) -> list[Key]:
        """Keys of the texts to call."""
        return [self.keys[index] for index in self.called]

    def known_values(self, called: NDArray[np.float64]) -> NDArray[np.float64]:
        """Worth of each text (T,) from the worths of those that were called; nan where the text was not."""
        if len(self.called) == len(self.keys):
            return called
        value_of = dict(zip(self.called_keys, called.tolist(), strict=True))
        return np.array([value_of.get(key, np.nan) for key in self.keys], dtype=np.float64)

    def settle(self, values: NDArray[np.float64], worths: NDArray[np.float64]) -> NDArray[np.intp]:
        """Fill in the worths (C,) of the coalitions that were asked for, from those of all texts (T,).

        Returns:
            The text of each of these coalitions that has a worth.
        """
        asked = self.game.places < len(worths)
        text_of = self.game.text_of[asked]
        worths[self.game.places[asked]] = values[text_of]
        return text_of

    def single_keys(self) -> list[Key]:
        """Keys of the texts of single players, in order; of a game with estimates."""
        assert self.coalitions is not None
        single = np.flatnonzero(self.coalitions.sum(axis=1) == 1)
        players = self.coalitions[single].argmax(axis=1)
        return [self.keys[index] for index in single[np.argsort(players)].tolist()]

    def empty(self) -> int | None:
        """Index of the text of the empty coalition, the query in front; ``None`` without a query in front."""
        assert self.coalitions is not None
        indices = np.flatnonzero(~self.coalitions.any(axis=1))
        return int(indices[0]) if len(indices) else None


def widened_game(
    query: int,
    text: str,
    spans: NDArray[np.int64],
    coalitions: NDArray[np.bool_],
    front: tuple[str, int] | None,
) -> tuple[Game, NDArray[np.bool_]]:
    """A game with the coalitions that estimates need behind those that were asked for, and each text's coalition.

    Those are single players, the grand coalition and, with the query in front, the empty one.

    Args:
        query: As for :func:`~ospo_env.scoring.coalition_plans.plan_game`, as are the others.
        text: The whole text.
        spans: Its N segments, at least one.
        coalitions: bool (C, N).
        front: The query in front.

    Returns:
        The game, and bool (T, N).
    """
    players = len(spans)
    needed = [np.eye(players, dtype=np.bool_), np.ones((1, players), dtype=np.bool_)]
    if front is not None:
        needed.append(np.zeros((1, players), dtype=np.bool_))
    wide = np.concatenate([coalitions, *needed])
    game = plan_game(query, text, spans, wide, front=front)
    _, first = np.unique(game.text_of, return_index=True)
    return game, wide[game.places[first]]


def limited_game(game: Game, keys: Sequence[Key], coalitions: NDArray[np.bool_], asked: int, limit: Limit) -> TextGame:
    """A widened game with the texts to call chosen: those asked for where all of them may be called.

    Args:
        game: The game.
        keys: Key of each of its texts (T,).
        coalitions: The coalition of each text, bool (T, N).
        asked: Coalitions that were asked for, which come first.
        limit: Bound on the calls.
    """
    empty = np.flatnonzero(~coalitions.any(axis=1)).tolist()  # the raw query is valued once a prompt, beside the calls
    free = [keys[index] for index in empty]
    wanted = np.unique(game.text_of[game.places < asked]).tolist()
    if len({keys[index] for index in wanted} - set(free)) <= limit.calls:
        return TextGame(game, keys, wanted)
    chosen = choose_coalitions(coalitions, keys, free, limit.calls, limit.seed)
    return TextGame(game, keys, [*chosen, *empty], coalitions)

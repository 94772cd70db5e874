"""One text's coalitions as work for a retriever: which texts it has to score, and scores of coalitions from those."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ospo_env.coalitions import coalition_text

__all__ = ["CHUNK", "Block", "Game", "coalition_scores", "plan_game"]

CHUNK = 4096
"""Coalitions held in memory at once; it changes no value."""


class Game(NamedTuple):
    """The coalitions of one text, sorted by what their worths need.

    Attributes:
        query: Whose pool is ranked.
        text: The whole text, capped.
        grand: Places of the coalitions that keep every character.
        proper: Places of those that keep some; all others are empty, and worth 0.
        parts: The texts that the proper coalitions need: one a segment if linear, else one a distinct coalition.
        masks: If linear, bool (len(proper), len(parts)); else empty.
        part_of: If not linear, for each proper coalition its part; else empty.
        linear: Whether the scores of a coalition are sums over segments.
    """

    query: int
    text: str
    grand: NDArray[np.intp]
    proper: NDArray[np.intp]
    parts: list[str]
    masks: NDArray[np.bool_]
    part_of: NDArray[np.intp]
    linear: bool

    @property
    def texts(self) -> list[str]:
        """All texts that have to be scored."""
        return [self.text, *self.parts] if len(self.grand) else self.parts


class Block(NamedTuple):
    """Scores (c, P) of some coalitions of a game, and the places (c,) of these among all of its coalitions."""

    places: NDArray[np.intp]
    scores: NDArray[np.float64]


def plan_game(query: int, text: str, spans: NDArray[np.int64], coalitions: NDArray[np.bool_], linear: bool) -> Game:
    """Sort the coalitions of a text.

    Args:
        query: Whose pool is ranked.
        text: The whole text, capped.
        spans: Its segments, int64 (N, 2); those without characters are null players.
        coalitions: bool (C, N).
        linear: Whether the retriever is linear and no cut lies inside one of its units.
    """
    filled = spans[:, 1] > spans[:, 0]
    spans, coalitions = spans[filled], coalitions[:, filled]
    sizes = coalitions.sum(axis=1)
    grand = np.flatnonzero((sizes == len(spans)) & (sizes > 0))
    proper = np.flatnonzero((sizes < len(spans)) & (sizes > 0))
    masks = coalitions[proper]
    if linear:
        used = masks.any(axis=0)
        parts = [text[start:end] for start, end in spans[used].tolist()]
        return Game(query, text, grand, proper, parts, masks[:, used], np.empty(0, np.intp), linear=True)
    masks, part_of = np.unique(masks, axis=0, return_inverse=True)
    parts = [coalition_text(text, spans, mask) for mask in masks]
    return Game(query, text, grand, proper, parts, np.empty((0, 0), np.bool_), part_of.reshape(-1), linear=False)


def coalition_scores(game: Game, rows: Mapping[str, NDArray[np.float64]]) -> Iterator[Block]:
    """Scores of all coalitions that are not empty, at most :data:`CHUNK` at a time.

    Args:
        game: The game.
        rows: For each of ``game.texts`` its scores (P,) on the game's pool.
    """
    if len(game.grand):
        row = rows[game.text]
        yield Block(game.grand, np.broadcast_to(row, (len(game.grand), len(row))))
    if not len(game.proper):
        return
    parts = np.stack([rows[part] for part in game.parts])
    matched = parts > -np.inf
    summands = np.where(matched, parts, 0.0)
    positive = bool((summands[matched] > 0).all())  # then a sum tells by itself whether anything matched
    for first in range(0, len(game.proper), CHUNK):
        chunk = slice(first, first + CHUNK)
        if game.linear:
            kept = game.masks[chunk].astype(np.float64)
            sums = kept @ summands
            scores = np.where(sums > 0 if positive else kept @ matched > 0, sums, -np.inf)
        else:
            scores = parts[game.part_of[chunk]]
        yield Block(game.proper[chunk], scores)

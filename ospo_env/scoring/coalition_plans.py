"""A text's coalitions as work for a retriever: the texts to score, and the worths that follow from their scores."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ospo_env.metrics import Scores
from ospo_env.scoring.coalitions import coalition_text
from ospo_env.scoring.split_words import SplitText, part_members

__all__ = ["Game", "Sums", "added_scores", "drop_null_players", "plan_game", "plan_sums"]

_CHUNK_BYTES = 2**21  # of scores at once, about what a core's own cache holds; it changes no value
_EXACT_FLOAT32 = 2**24  # whole numbers up to this are float32 numbers


class Game(NamedTuple):
    """The coalitions of one text, sorted by how they are valued.

    Attributes:
        query: Query whose pool is ranked.
        texts: Kept parts of the text whose own rankings are worths: the whole text if a coalition keeps every character
            and, unless scores are sums, one for each other distinct coalition that has a worth.
        places: Places of the coalitions whose worth is that of one of these texts (T,).
        text_of: Index of that text (T,).
        segments: Texts whose scores add up to those of the other coalitions: of segments, of words that several
            segments share, and of the query in front; empty if there is no other coalition.
        members: Membership of each of these texts in each coalition: bool (len(segments), C).
        times: Times that each of these texts counts (len(segments),); ``None`` for once.
    """

    query: int
    texts: list[str]
    places: NDArray[np.intp]
    text_of: NDArray[np.intp]
    segments: list[str]
    members: NDArray[np.bool_]
    times: NDArray[np.float64] | None = None


class Sums(NamedTuple):
    """Scores of a game's coalitions as a matrix product.

    Attributes:
        members: Membership of each summand in each coalition: bool (N, C).
        summands: Scores of N segments (N, P), 0 where a document does not match: float32 where that is enough digits
            for every sum of them, in any order of summation, else float64.
        floor: Sum up to which a document does not match: 0 where all scores are positive, else -inf.
        matched: bool (N, P), where the sum alone does not decide whether a document matches; else ``None``.
    """

    members: NDArray[np.bool_]
    summands: Scores
    floor: float
    matched: NDArray[np.bool_] | None


def drop_null_players(
    spans: NDArray[np.int64], coalitions: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Spans (N, 2) and coalitions (C, N) without the segments that have no characters."""
    filled = spans[:, 1] > spans[:, 0]
    return (spans, coalitions) if filled.all() else (spans[filled], coalitions[:, filled])


def plan_game(
    query: int,
    text: str,
    spans: NDArray[np.int64],
    coalitions: NDArray[np.bool_],
    split: SplitText | None = None,
    front: tuple[str, int] | None = None,
) -> Game:
    """Sort the coalitions of a text.

    Args:
        query: Query whose pool is ranked.
        text: The whole text, capped.
        spans: Its segments, none of them empty, int64 (N, 2).
        coalitions: bool (C, N).
        split: Parts of the text whose scores add up; ``None`` if they do not.
        front: The query in front of every coalition, and how often it counts; ``None`` if there is none, so that a
            coalition without segments is worth 0.
    """
    members = np.ascontiguousarray(coalitions.T)
    sizes = np.add.reduce(members, axis=0, dtype=np.intp)
    grand = np.flatnonzero(sizes == len(spans)) if len(spans) or front else np.empty(0, dtype=np.intp)
    texts = [text] if len(grand) else []
    text_of = np.zeros(len(grand), dtype=np.intp)
    partial = sizes < len(spans)
    if split is not None:
        return Game(query, texts, grand, text_of, *_summands(split, members, partial, front))
    proper = np.flatnonzero(partial if front else partial & (sizes > 0))
    masks, part_of = np.unique(coalitions[proper], axis=0, return_inverse=True)
    places, text_of = np.concatenate([grand, proper]), np.concatenate([text_of, len(texts) + part_of.reshape(-1)])
    texts.extend(coalition_text(text, spans, mask) for mask in masks)
    return Game(query, texts, places, text_of, [], members[:0])


def _summands(
    split: SplitText, members: NDArray[np.bool_], partial: NDArray[np.bool_], front: tuple[str, int] | None
) -> tuple[list[str], NDArray[np.bool_], NDArray[np.float64] | None]:
    """Texts whose scores add up to those of the partial coalitions, their members and how often each counts."""
    parts, members = part_members(split, members)
    filled = np.array([bool(part) for part in parts], dtype=np.bool_)
    used = filled & (members & partial).any(axis=1)
    segments = [part for part, is_used in zip(parts, used.tolist(), strict=True) if is_used]
    members = members if used.all() else members[used]
    if front is None or not partial.any():
        return segments, members, None
    query, weight = front
    members = np.concatenate([members, np.ones((1, members.shape[1]), dtype=np.bool_)])
    return [*segments, query], members, np.array([1.0] * len(segments) + [float(weight)])


def plan_sums(game: Game, rows: Mapping[str, NDArray[np.float64]]) -> Sums:
    """The matrix product of a game's sums.

    Args:
        game: The game, with at least one segment.
        rows: Scores (P,) of each of ``game.segments`` on the game's pool.
    """
    members = game.members
    parts = np.concatenate([rows[segment] for segment in game.segments]).reshape(len(members), -1)
    if game.times is not None:
        parts *= game.times[:, None]
    matched = parts > -np.inf
    if matched.all():
        return Sums(members, _narrowed(parts), -np.inf, None)
    matching = matched.any(axis=1)  # the others change no coalition
    if not matching.all():
        members, parts, matched = members[matching], parts[matching], matched[matching]
        if matched.all():
            return Sums(members, _narrowed(parts), -np.inf, None)
    summands = np.where(matched, parts, 0.0)
    positive = np.count_nonzero(summands > 0) == np.count_nonzero(matched)
    return Sums(members, _narrowed(summands), *((0.0, None) if positive else (-np.inf, matched)))


def added_scores(sums: Sequence[Sums]) -> Iterator[Scores]:
    """Scores of coalitions of one or several games on one pool, in chunks.

    Args:
        sums: Sums of these games, with equal floors and summands of one dtype.

    Yields:
        (c, P), column-major, of all coalitions in order; the next chunk reuses its memory.
    """
    documents, itemsize = sums[0].summands.shape[1], sums[0].summands.itemsize
    wanted = min(_CHUNK_BYTES // (documents * itemsize), sum(one.members.shape[1] for one in sums))
    width = wanted // 32 * 32 + 16  # rows whose length is a power of two would fall on one another in the cache
    buffer = np.empty((documents, width), dtype=sums[0].summands.dtype)
    filled = 0
    for one in sums:
        first = 0
        while first < one.members.shape[1]:
            chunk = one.members[:, first : first + width - filled]
            out = buffer[:, filled : filled + chunk.shape[1]]
            np.matmul(one.summands.T, chunk.astype(out.dtype), out=out)
            if one.matched is not None:
                out[~(one.matched.T @ chunk)] = -np.inf
            elif one.floor < 0:
                out[:, ~chunk.any(axis=0)] = -np.inf
            first += chunk.shape[1]
            filled += chunk.shape[1]
            if filled == width:
                yield buffer.T
                filled = 0
    if filled:
        yield buffer[:, :filled].T


def _narrowed(summands: NDArray[np.float64]) -> Scores:
    """Convert scores to float32 if they are whole numbers whose partial sums are at most 2^24."""
    exact = np.abs(summands).max(axis=1).sum() <= _EXACT_FLOAT32 and (np.rint(summands) == summands).all()
    return summands.astype(np.float32) if exact else summands

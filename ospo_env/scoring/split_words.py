"""A text whose repeated words count once, split into parts whose scores add up over coalitions of its segments.

A word that stands in several segments is in a coalition's text as soon as one of them is kept, in the form that it has
in the first of these. So it is a part of its own, beside the rest of each segment.
"""

from bisect import bisect_right
from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ospo_env.repeats import without_words, word_pieces

__all__ = ["SplitText", "part_members", "split_repeats", "whole_segments"]


class SplitText(NamedTuple):
    """The parts of a text.

    Attributes:
        own: For each of N segments its text without words of others, and without what is never sent.
        shared: For each word of several segments the first place in each of them: the segment, and the word's form.
        cuts: Character offsets at which the text is cut.
        exact: Whether no segment ends inside a word, or between a dropped word and what belongs to it; only then the
            parts are the same in every coalition.
    """

    own: list[str]
    shared: list[list[tuple[int, str]]]
    cuts: list[int]
    exact: bool


def whole_segments(text: str, spans: NDArray[np.int64]) -> SplitText:
    """The segments themselves (N, 2), for texts whose repeated words count as often as they stand."""
    return SplitText([text[start:end] for start, end in spans.tolist()], [], spans[:, 0].tolist(), True)


def split_repeats(text: str, spans: NDArray[np.int64], known: Collection[str]) -> SplitText:
    """The parts of a text whose repeated words count once.

    Args:
        text: The whole text.
        spans: Its N segments, none of them empty, int64 (N, 2).
        known: Words that are never sent, as they are compared.

    >>> split = split_repeats("red wool red coat", np.array([(0, 8), (8, 17)]), {"coat"})
    >>> split.own, split.shared
    (['wool', ''], [[(0, 'red'), (1, 'red')]])
    """
    starts = spans[:, 0].tolist()
    pieces = word_pieces(text)
    places: dict[str, dict[int, str]] = {}
    segment_of = [bisect_right(starts, piece.start) - 1 for piece in pieces]
    for piece, segment in zip(pieces, segment_of, strict=True):
        places.setdefault(piece.word, {}).setdefault(segment, text[piece.start : piece.end])
    several = {word for word, forms in places.items() if len(forms) > 1 and word not in known}
    seen: set[str] = set()
    dropped: list[list[int]] = [[] for _ in starts]
    for number, piece in enumerate(pieces):
        if piece.word in several or piece.word in known or piece.word in seen:
            dropped[segment_of[number]].append(number)
        seen.add(piece.word)
    ends = spans[:, 1].tolist()
    exact = all(piece.stop <= ends[segment] for piece, segment in zip(pieces, segment_of, strict=True))
    cuts, own = list(starts), []
    for (start, end), numbers in zip(spans.tolist(), dropped, strict=True):
        inside = [pieces[number] for number in numbers]
        exact &= all(piece.end <= end for piece in inside)
        cuts += [edge for piece in inside for edge in (piece.start, piece.stop, piece.end)]
        moved = [piece._replace(start=piece.start - start, end=piece.end - start) for piece in inside]
        own.append(without_words(text[start:end], moved))
    shared = [list(places[word].items()) for word in places if word in several]
    return SplitText(own, shared, sorted(set(cuts)), exact)


def part_members(split: SplitText, members: NDArray[np.bool_]) -> tuple[list[str], NDArray[np.bool_]]:
    """The texts of all parts, and which coalitions hold each.

    Args:
        split: The parts of a text of N segments.
        members: Membership of each segment in each coalition: bool (N, C).

    Returns:
        K texts, and bool (K, C).
    """
    texts, rows = list(split.own), [members]
    for places in split.shared:
        before = np.zeros(members.shape[1], dtype=np.bool_)
        forms: dict[str, NDArray[np.bool_]] = {}
        for segment, form in places:
            first = members[segment] & ~before
            forms[form] = forms[form] | first if form in forms else first
            before |= members[segment]
        texts.extend(forms)
        rows.append(np.stack(list(forms.values())))
    return texts, members if len(rows) == 1 else np.concatenate(rows)

"""From the characters of tokens to segments: which token belongs to which segment, and which segments are whole."""

import unicodedata
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ospo_agents.protocols import Spans

__all__ = ["boundary_tokens", "segment_of_tokens", "separators", "whole_segments"]

_JOINERS = "\u200c\u200d"  # between letters of one word, in Persian and Indic scripts


def segment_of_tokens(offsets: NDArray[np.int64], spans: Spans, start_of_span: int = 0) -> NDArray[np.int64]:
    """Segment of each token: that of the token's first character in the scored span.

    Args:
        offsets: int (T, 2), characters of each token in the completion, from :func:`ospo_agents.offsets.token_offsets`.
        spans: Segments that tile the scored span, counted from its start; length N.
        start_of_span: Start of the scored span in the completion.

    Returns:
        int64 (T,) in [0, N), and -1 for a token without a character in the scored span: text around it, and special
        tokens. The end-of-sequence token is one of these, since no segment of the text gains or loses by it.

    >>> segment_of_tokens(np.array([[0, 3], [3, 8], [8, 8]]), [(0, 3), (3, 8)])
    array([ 0,  1, -1])
    """
    if not len(spans):
        return np.full(len(offsets), -1, dtype=np.int64)
    bounds = np.asarray(spans, dtype=np.int64) + start_of_span
    first = np.maximum(offsets[:, 0], bounds[0, 0])
    inside = (first < np.minimum(offsets[:, 1], bounds[-1, 1])) & (offsets[:, 1] > offsets[:, 0])
    return np.where(inside, np.searchsorted(bounds[:, 0], first, side="right") - 1, -1).astype(np.int64)


def separators(text: str, offsets: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Mask of the tokens that hold no letter or digit: bool (T,).

    Such a token (a comma) decides whether another segment follows, as the end-of-sequence token does. The credit of its
    own segment does not measure that decision: on such a token, credit above the mean would teach the policy to go on
    and credit below it to stop, whatever comes next.

    Marks and joiners on a letter are part of it: the vowel signs of Hindi and Thai belong to words.

    Args:
        text: The completion.
        offsets: int (T, 2), characters of each token in it, from :func:`ospo_agents.offsets.token_offsets`.

    >>> separators("red, coat", np.array([[0, 3], [3, 4], [4, 9], [9, 9]]))
    array([False,  True, False,  True])
    """
    in_words = _in_words(text)
    return np.array([not any(in_words[start:end]) for start, end in offsets.tolist()], dtype=np.bool_)


def boundary_tokens(
    offsets: NDArray[np.int64], separator: NDArray[np.bool_], span: tuple[int, int] | None
) -> NDArray[np.bool_]:
    """Mask of the tokens that decide whether the rewrite goes on: its separators, and the token that ends it.

    Args:
        offsets: int (T, 2), characters of each token in the completion.
        separator: bool (T,), tokens without a letter or digit (:func:`separators`).
        span: Character span of the rewrite in the completion; None where there is none.

    Returns:
        bool (T,); all false without a rewrite.
    """
    if span is None:
        return np.zeros(len(offsets), dtype=np.bool_)
    start, end = span
    inside = separator & (offsets[:, 0] >= start) & (offsets[:, 0] < end)
    after = np.flatnonzero(offsets[:, 0] >= end)
    inside[after[:1]] = True
    return inside


def _in_words(text: str) -> list[bool]:
    """True for each character that is a letter, a digit, or a mark or joiner behind one."""
    if text.isascii():  # no marks, no joiners
        return [character.isalnum() for character in text]
    flags: list[bool] = []
    for character in text:
        kind = unicodedata.category(character)[0]
        behind = bool(flags) and flags[-1]
        flags.append(kind in "LN" or (behind and (kind == "M" or character in _JOINERS)))
    return flags


def whole_segments(
    offsets: NDArray[np.int64], decision_points: Sequence[int], start_of_span: int = 0
) -> NDArray[np.int64]:
    """Number of segments known to be whole before each token is chosen, from the text before it alone.

    Args:
        offsets: int (T, 2), characters of each token in the completion, from :func:`ospo_agents.offsets.token_offsets`.
        decision_points: For each segment, how many characters of the scored span decide its end
            (:func:`ospo_agents.segments.decision_points`); does not decrease; length N.
        start_of_span: Start of the scored span in the completion.

    Returns:
        int64 (T,) in [0, N], not decreasing.

    >>> whole_segments(np.array([[0, 4], [4, 10], [10, 14], [14, 18], [18, 24]]), [16, 25])
    array([0, 0, 0, 0, 1])
    """
    points = np.asarray(decision_points, dtype=np.int64) + start_of_span
    return np.searchsorted(points, offsets[:, 0], side="right").astype(np.int64)

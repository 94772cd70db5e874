"""Segments of a text as players: checks of spans and coalitions, and the text of a coalition."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ospo_env.errors import TaskError

__all__ = ["check_coalitions", "check_spans", "coalition_text", "cut_spans"]


def coalition_text(text: str, spans: Sequence[tuple[int, int]] | NDArray[np.int64], mask: NDArray[np.bool_]) -> str:
    """The kept segments in order, with one space wherever a segment between two kept ones was dropped.

    A segment without characters is a null player: whether it is kept or dropped, the text is the same.

    Args:
        text: The whole text.
        spans: Its N segments, as spans that tile it.
        mask: Segments that are kept, bool (N,).

    Returns:
        The text of the coalition; ``""`` for the empty one, ``text`` itself for the grand one.

    >>> coalition_text("red,wool,coat", [(0, 4), (4, 9), (9, 13)], np.array([True, False, True]))
    'red, coat'
    """
    parts: list[str] = []
    dropped = False
    for (start, end), keep in zip(spans, mask, strict=True):
        if start == end:
            continue
        if keep:
            if dropped and parts:
                parts.append(" ")
            parts.append(text[start:end])
        dropped = not keep
    return "".join(parts)


def cut_spans(spans: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Spans after the text is cut to its first ``length`` characters: int64 (N, 2).

    Segments beyond the cut lose all their characters and so become null players.
    """
    return np.minimum(spans, length)


def check_spans(text: str, spans: Sequence[tuple[int, int]], where: str = "") -> NDArray[np.int64]:
    """Check that spans tile a text; return them as an array.

    Args:
        text: The text that the spans cut.
        spans: N pairs ``(start, end)`` of character offsets; none for an empty text.
        where: Words for the error message, for example ``" of text 3"``.

    Returns:
        int64 (N, 2).

    Raises:
        TypeError: The offsets are not integers.
        TaskError: They are not pairs, or do not tile the text from 0 to its length in order.
    """
    array = _array(spans, "spans", where) if len(spans) else np.empty((0, 2), dtype=np.int64)
    if array.ndim != 2 or array.shape[1] != 2:
        raise TaskError(f"expected the spans{where} as pairs (start, end); got an array of shape {array.shape}")
    if array.dtype.kind not in "iu":
        raise TypeError(f"expected the spans{where} as integers; got {array.dtype}")
    array = array.astype(np.int64)
    starts, ends = array[:, 0], array[:, 1]
    expected = np.concatenate([[0], ends])
    wrong = np.flatnonzero((starts != expected[:-1]) | (ends < starts))
    if wrong.size:
        n = int(wrong[0])
        raise TaskError(
            f"the spans{where} do not tile the text: expected segment {n} to start at {expected[n]}; "
            f"got ({starts[n]}, {ends[n]})"
        )
    if expected[-1] != len(text):
        raise TaskError(
            f"the spans{where} do not tile the text: expected an end at {len(text)}; got {expected[-1]}; "
            "cut the text as it was given, not a stripped copy"
        )
    return array


def check_coalitions(coalitions: NDArray[np.bool_], players: int, where: str = "") -> NDArray[np.bool_]:
    """A boolean coalition matrix with one column a player.

    Args:
        coalitions: bool (C, N); a nested list of booleans will do.
        players: N.
        where: Words for the error message.

    Returns:
        bool (C, N).

    Raises:
        TypeError: The entries are not booleans.
        TaskError: The shape is not (C, N).
    """
    array = _array(coalitions, "coalitions", where)
    if array.dtype != np.bool_:
        raise TypeError(f"expected the coalitions{where} as a boolean matrix; got {array.dtype}")
    if array.ndim != 2 or array.shape[1] != players:
        raise TaskError(
            f"expected the coalitions{where} of shape (C, {players}), one column a segment; got {array.shape}"
        )
    return array


def _array(values: object, what: str, where: str) -> NDArray[Any]:
    try:
        return np.asarray(values)
    except ValueError as error:
        raise TaskError(f"expected the {what}{where} as rows of one length; got rows of several") from error

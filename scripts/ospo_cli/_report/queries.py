"""Queries of a report: which are shown, and their rewrites with repeated words marked. Pure functions."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["MOST_LISTED", "ListedQuery", "choose_queries", "listed_rows", "mark_repeats"]

MOST_LISTED = 1_000
"""Queries of a page's list at most, from both ends."""


class ListedQuery(NamedTuple):
    """A query in the list of all queries.

    Attributes:
        prompt_id: Its id.
        query: The raw query.
        rewrite: Parts of the rewrite, each with whether it repeats a word.
        raw: Metric of the raw query.
        value: Metric of the rewrite.
    """

    prompt_id: str
    query: str
    rewrite: list[tuple[str, bool]]
    raw: float
    value: float

    @property
    def gain(self) -> float:
        """Metric of the rewrite less that of the raw query."""
        return self.value - self.raw


def choose_queries(gains: NDArray[np.float64], count: int) -> dict[int, str]:
    """Queries of the largest, the middle and the least gain, a third each.

    Args:
        gains: float64 (Q,).
        count: Number of queries, at least 1; fewer where there are fewer.

    Returns:
        Row -> ``best``, ``median`` or ``worst``, the best and the worst of all first among theirs.

    >>> choose_queries(np.array([0.1, 0.5, -0.3, 0.0, 0.2]), 3)
    {1: 'best', 0: 'median', 2: 'worst'}
    """
    order = np.argsort(-gains, kind="stable").tolist()
    count = min(count, len(order))
    best, worst, middle = (count + 2) // 3, (count + 1) // 3, count // 3
    start = max(best, min((len(order) - middle) // 2, len(order) - worst - middle))  # beside the ends
    named = dict.fromkeys(order[:best], "best") | dict.fromkeys(order[start : start + middle], "median")
    return named | dict.fromkeys(order[::-1][:worst], "worst")


def listed_rows(gains: NDArray[np.float64], most: int = MOST_LISTED) -> list[int]:
    """Rows of the list of all queries, the largest gain first; of very many the middle is left out.

    >>> listed_rows(np.array([0.1, 0.5, -0.3, 0.0]), 2)
    [1, 2]
    """
    order: list[int] = np.argsort(-gains, kind="stable").tolist()
    return order if len(order) <= most else [*order[: most // 2], *order[len(order) - most // 2 :]]


def mark_repeats(
    text: str, spans: Sequence[tuple[int, int]], start: int = 0, end: int | None = None
) -> list[tuple[str, bool]]:
    """Parts of a text, or of the characters from ``start`` to ``end``, each with whether it is a repeated word.

    Args:
        text: The text.
        spans: Character spans of its repeated words, in order.
        start: The first character.
        end: The character after the last; None for the end of the text.

    >>> mark_repeats("red red shoe", [(4, 7)]), mark_repeats("red red shoe", [(4, 7)], 8)
    ([('red ', False), ('red', True), (' shoe', False)], [('shoe', False)])
    """
    end = len(text) if end is None else end
    parts, place = [], start
    for first, last in spans:
        first, last = max(first, start), min(last, end)
        if first < last:
            parts += [(text[place:first], False), (text[first:last], True)]
            place = last
    return [part for part in [*parts, (text[place:end], False)] if part[0]]

"""Credit of phrases over many queries: means with intervals, signs, and lists with few false discoveries. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit
from scipy.stats import false_discovery_control

from ospo_env.evaluation.intervals import Interval
from ospo_env.evaluation.verdict import EQUAL, sign_test

__all__ = ["FALSE_DISCOVERIES", "FEWEST_QUERIES", "SORTS", "PhraseRow", "phrase_table"]

FALSE_DISCOVERIES = 0.05
"""Share of the listed phrases that may be listed by chance, in expectation."""

FEWEST_QUERIES = 6
"""Least number of queries at which a sign test can come below 0.05."""


@dataclass(frozen=True)
class PhraseRow:
    """A phrase, over all queries in whose rewrites it stands.

    Attributes:
        phrase: Its words, in small letters.
        queries: Number of queries.
        credit: Mean credit over queries, in the metric's unit, with its 95 % interval (Student's t).
        helps: Queries in which its credit is positive.
        hurts: Queries in which it is negative.
        p_value: Two-sided sign test of ``helps`` against ``hurts``.
        q_value: The p-value adjusted for all phrases of the table (Benjamini and Hochberg 1995).
        verdict: ``keep`` or ``stop`` where the q-value is at most :data:`FALSE_DISCOVERIES` and the mean has the sign
            of the majority; else empty.
    """

    phrase: str
    queries: int
    credit: Interval
    helps: int
    hurts: int
    p_value: float
    q_value: float
    verdict: str

    @property
    def total(self) -> float:
        """Sum of its mean credit over its queries."""
        return self.credit.value * self.queries

    def as_json(self) -> dict[str, Any]:
        """The fields, JSON-able."""
        return {**vars(self), "credit": self.credit.as_json()}


SORTS: MappingProxyType[str, Callable[[PhraseRow], Any]] = MappingProxyType(
    {
        "credit": lambda row: -row.credit.value,
        "total": lambda row: -row.total,
        "queries": lambda row: -row.queries,
        "helps": lambda row: -row.helps / row.queries,
        "hurts": lambda row: -row.hurts / row.queries,
        "phrase": lambda row: row.phrase,
    }
)
"""Orders of a table: mean credit, summed credit, number of queries and shares downward; phrases by alphabet. Ties are
in alphabetic order."""


def phrase_table(
    phrases: Sequence[str],
    queries: Sequence[str],
    credit: NDArray[np.float64],
    fewest: int = FEWEST_QUERIES,
    sort: str = "total",
) -> tuple[PhraseRow, ...]:
    """Sum up the credit of phrases.

    A phrase that stands several times in the rewrites of one query counts once, with its mean there: queries are what
    is independent. Only phrases of enough queries are tested, so that rare ones do not weaken the control of false
    discoveries.

    Args:
        phrases: O occurrences of phrases; those without a word, which are empty, are left out.
        queries: The query of each.
        credit: float64 (O,), the credit of each.
        fewest: Least number of queries of a phrase, at least 2.
        sort: A name in :data:`SORTS`.

    >>> row, = phrase_table(["warm"] * 6, list("abcdef"), np.array([0.1, 0.2, 0.3, 0.1, 0.2, 0.3]))
    >>> row.phrase, row.helps, round(row.credit.value, 3), row.q_value, row.verdict
    ('warm', 6, 0.2, 0.03125, 'keep')
    """
    worded = np.array([bool(phrase) for phrase in phrases], dtype=np.bool_)
    names, phrase_of = np.unique(np.array(phrases, dtype=np.object_)[worded], return_inverse=True)
    query_of = np.unique(np.array(queries, dtype=np.object_), return_inverse=True)[1][worded]
    pairs, pair_of = np.unique(phrase_of * (query_of.max(initial=0) + 1) + query_of, return_inverse=True)
    means = np.bincount(pair_of, credit[worded]) / np.bincount(pair_of)
    owner = pairs // (query_of.max(initial=0) + 1)
    counts = np.bincount(owner, minlength=len(names))
    centres = np.bincount(owner, means, len(names)) / np.maximum(counts, 1)
    squares = np.bincount(owner, (means - centres[owner]) ** 2, len(names))
    helps = np.bincount(owner[means > EQUAL], minlength=len(names))
    hurts = np.bincount(owner[means < -EQUAL], minlength=len(names))
    kept = np.flatnonzero(counts >= max(fewest, 2))
    freedom = counts[kept] - 1.0
    half = stdtrit(freedom, 0.975) * np.sqrt(squares[kept] / freedom / counts[kept])
    p_values = sign_test(helps[kept], hurts[kept])
    q_values = false_discovery_control(p_values) if len(kept) else p_values
    rows = [
        PhraseRow(
            str(names[i]),
            int(counts[i]),
            Interval(float(centres[i]), float(centres[i] - spread), float(centres[i] + spread)),
            int(helps[i]),
            int(hurts[i]),
            float(p),
            float(q),
            _listed(float(centres[i]), int(helps[i]) - int(hurts[i]), float(q)),
        )
        for i, spread, p, q in zip(kept.tolist(), half, p_values, q_values, strict=True)
    ]
    return tuple(sorted(rows, key=SORTS[sort]))  # names are in alphabetic order, and sorting is stable


def _listed(mean: float, majority: int, q_value: float) -> str:
    """The list of a phrase: a rare large loss against many small gains is on none."""
    if q_value > FALSE_DISCOVERIES or mean * majority <= 0:
        return ""
    return "keep" if mean > 0 else "stop"

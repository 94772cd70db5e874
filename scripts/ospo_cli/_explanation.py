"""Explanation of one rewrite: the credit of each segment, and the rankings before and after.

The programs ``explain`` and ``report`` show it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ospo_agents.assignment import CreditedText, assign_credit, default_segmenter
from ospo_agents.credit import make_solution
from ospo_env.metrics import FULL_GAIN
from ospo_env.rendering import describe
from ospo_env.text import clean_text

__all__ = ["Explanation", "Row", "Segment", "credit_colour", "explain"]

_SEED = 0  # of sampled coalitions
# Colours that colour-blind readers can tell apart.
_NEUTRAL, _POSITIVE, _NEGATIVE = (247, 247, 247), (92, 165, 226), (243, 156, 62)


@dataclass(frozen=True)
class Segment:
    """A segment of the rewrite.

    Attributes:
        start: Its first character.
        end: The character after its last.
        text: Its characters.
        credit: Its credit, in the metric's unit.
        error: Standard error of credit that is estimated from random orders; None where credit is exact, or the error
            is unknown.
    """

    start: int
    end: int
    text: str
    credit: float
    error: float | None


@dataclass(frozen=True)
class Row:
    """A ranked document.

    Attributes:
        rank: From 1.
        doc_id: Its id.
        title: Its title.
        gain: Its gain for the query, in [0, 1]; 0 where it was not judged.
        mark: ``*`` for full gain, ``+`` for any other, a space for none.
        other_rank: Its rank in the other of the two rankings; None where the other text does not match it.
    """

    rank: int
    doc_id: str
    title: str
    gain: float
    mark: str
    other_rank: int | None


@dataclass(frozen=True)
class Explanation:
    """Explanation of a rewrite of one prompt.

    Attributes:
        prompt_id: Id of the prompt.
        prompt: The text that a policy reads.
        query: The query as the shopper typed it.
        text: The rewrite.
        sent: The text that the retriever is sent for it: what counts of the rewrite, behind the query or alone.
        compose: Whether that is the rewrite in place of the query (``replace``) or behind it (``append``).
        metric: Name of the metric that gives worths.
        segmenter: Name of the segmenter.
        solution: Name of the solution of the game.
        coalitions: Number of distinct subsets of the segments that credit was computed from.
        calls: Number of distinct texts that were scored at most, where other worths are estimated; None where all were.
        segments: The segments in order, with their credit.
        equals_shapley: Whether the unions of a solution that has them make no difference to the Shapley value.
        worth: Worth of the rewrite, equal to the reward of ``env.step``.
        query_worth: Worth of the raw query.
        empty_worth: Worth of no segment: that of the raw query where it is sent too, else 0.
        words_beyond_cap: Words of the rewrite beyond the word cap, which do not count.
        relevant: Documents of full gain among all judged ones of the query.
        ranked: Documents that the rewrite matches.
        query_ranked: Documents that the raw query matches.
        after: Top of the rewrite's ranking.
        before: Top of the raw query's ranking.
    """

    prompt_id: str
    prompt: str
    query: str
    text: str
    sent: str
    compose: str
    metric: str
    segmenter: str
    solution: str
    coalitions: int
    calls: int | None
    segments: tuple[Segment, ...]
    equals_shapley: bool
    worth: float
    query_worth: float
    empty_worth: float
    words_beyond_cap: int
    relevant: int
    ranked: int
    query_ranked: int
    after: tuple[Row, ...]
    before: tuple[Row, ...]

    @property
    def total(self) -> float:
        """The sum of all credit."""
        return math.fsum(segment.credit for segment in self.segments)

    @property
    def efficient(self) -> bool:
        """Whether credit sums to the worth of the rewrite less that of no segment, up to rounding."""
        return math.isclose(self.total, self.worth - self.empty_worth, rel_tol=0.0, abs_tol=1e-9)

    @property
    def sum_in_words(self) -> str:
        """A phrase that tells a reader whether the sum is the worth, or the gain where the query is sent too."""
        divided = "the gain over the raw query" if self.compose == "append" else "the worth"
        if self.efficient:
            return f"the sum, which is {divided}"
        value = f"{self.gain:+.3f}" if self.compose == "append" else f"{self.worth:.3f}"
        return f"the sum; {divided} is {value}, which {self.solution} does not divide up"

    @property
    def gain(self) -> float:
        """Worth of the rewrite less that of the raw query."""
        return self.worth - self.query_worth

    @property
    def method(self) -> str:
        """A phrase that tells a reader how credit was computed."""
        possible = 2 ** len(self.segments)
        share = f"all {possible:,}" if self.coalitions == possible else f"{self.coalitions:,} of {possible:,}"
        players = self.segmenter.replace("-", " ")
        one = "; its unions make no difference here, so it equals the Shapley value" if self.equals_shapley else ""
        bound = "" if self.calls is None else f", worths beyond {self.calls} scored texts estimated"
        return f"{self.solution} of {len(self.segments)} {players}, from {share} coalitions{bound}{one}"

    @property
    def largest(self) -> float:
        """The largest credit, signs aside; 0 where there is none."""
        return max((abs(segment.credit) for segment in self.segments), default=0.0)


def explain(
    task: Any,
    prompt_id: str,
    text: str,
    *,
    segmenter: str | None = None,
    solution: str | None = None,
    calls: int | None = None,
    top: int = 10,
) -> Explanation:
    """Credit of each segment of a rewrite, and the rankings of the raw query and of the rewrite.

    Args:
        task: An ``ospo_env.RetrievalTask``.
        prompt_id: The prompt.
        text: The rewrite, any string; lone surrogates become U+FFFD.
        segmenter: A name in ``ospo_agents.segments.SEGMENTERS``; None for the solution's own default.
        solution: A name in ``ospo_agents.credit.SOLUTIONS``; None takes ``shapley`` up to
            :data:`ospo_agents.assignment.EXACT_SEGMENTS` segments and ``sampled_shapley`` beyond. The explanation says
            which.
        calls: Distinct texts that are scored at most, as for :func:`ospo_agents.assign_credit`; None for all.
        top: Documents of each ranking to keep.

    Raises:
        AgentError: A name is unknown, or an exact solution needs too many coalitions.
        TaskError: The prompt is unknown.
        RetrieverError: The retriever failed.
    """
    text = clean_text(text)
    about = task.query(prompt_id)
    segmenter = default_segmenter(solution) if segmenter is None else segmenter
    (credited,) = assign_credit(
        task, [prompt_id], [text], segmenter=segmenter, solution=solution, seeds=[_SEED], calls=calls
    )
    (raw,), (sent,) = task.raw_rewrites([prompt_id]), task.sent([prompt_id], [text])
    of_query, of_text = task.outcomes([prompt_id, prompt_id], [raw, text])
    before, after = of_query.ranking, of_text.ranking
    return Explanation(
        prompt_id=prompt_id,
        prompt=dict(zip(*task.prompts(about.split), strict=True))[prompt_id],
        query=about.query,
        text=text,
        sent=sent,
        compose=task.compose,
        metric=task.metric,
        segmenter=segmenter,
        solution=credited.solution,
        coalitions=credited.distinct_coalitions,
        calls=credited.calls,
        segments=_segments(credited),
        equals_shapley=make_solution(credited.solution).needs_unions and not credited.unions_matter,
        worth=of_text.reward,
        query_worth=of_query.reward,
        empty_worth=of_query.reward if task.compose == "append" else 0.0,
        words_beyond_cap=of_text.words_beyond_cap,
        relevant=sum(gain >= FULL_GAIN for *_, gain in task.judgements([prompt_id])),
        ranked=len(after),
        query_ranked=len(before),
        after=_rows(task, prompt_id, after, before, top),
        before=_rows(task, prompt_id, before, after, top),
    )


def credit_colour(credit: float, largest: float) -> tuple[int, int, int]:
    """Red, green and blue of a background under dark text: blue for positive credit, orange for negative.

    Args:
        credit: The credit.
        largest: The credit, signs aside, of the strongest colour; 0 colours nothing.

    >>> credit_colour(0.0, 1.0), credit_colour(1.0, 1.0), credit_colour(-2.0, 1.0)
    ((247, 247, 247), (92, 165, 226), (243, 156, 62))
    """
    share = min(abs(credit) / largest, 1.0) if largest else 0.0
    end = _POSITIVE if credit > 0 else _NEGATIVE
    red, green, blue = (round(low + share * (high - low)) for low, high in zip(_NEUTRAL, end, strict=True))
    return red, green, blue


def _segments(credited: CreditedText) -> tuple[Segment, ...]:
    errors = np.full(len(credited.spans), np.nan) if credited.standard_error is None else credited.standard_error
    return tuple(
        Segment(start, end, credited.text[start:end], credit, None if math.isnan(error) else error)
        for (start, end), credit, error in zip(credited.spans, credited.credit.tolist(), errors.tolist(), strict=True)
    )


def _rows(task: Any, prompt_id: str, ranking: Sequence[str], other: Sequence[str], top: int) -> tuple[Row, ...]:
    elsewhere = {doc_id: rank for rank, doc_id in enumerate(other, start=1)}
    return tuple(
        Row(rank, found.doc_id, found.title, found.gain, found.mark, elsewhere.get(found.doc_id))
        for rank, found in enumerate(describe(task.data, prompt_id, ranking[:top]), start=1)
    )

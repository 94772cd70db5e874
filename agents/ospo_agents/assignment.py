"""Credit of the segments of a batch of texts: the project's one verb.

A text is cut into segments, the players of a cooperative game. A task values subsets of them, and a solution of the
game divides the reward among them. Nothing here needs more than NumPy and a task: a trainer, a report or an adapter of
another library calls :func:`assign_credit` and uses the credit in its own way.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ospo_agents.calls import call_bounds, reached_bound
from ospo_agents.credit import Solution, make_solution
from ospo_agents.credit.owen_value import owen_evaluations
from ospo_agents.errors import AgentError, BudgetError, unknown
from ospo_agents.protocols import BoundedTask, CappedTask, Coalitions, CoalitionTask, Spans, TurnTask
from ospo_agents.segments import Segmenter, make_segmenter, make_union_segmenter, sentences, turns, unions

__all__ = [
    "EXACT_SEGMENTS",
    "CreditedText",
    "assign_credit",
    "content_seed",
    "default_segmenter",
    "is_in_turns",
]

EXACT_SEGMENTS = 12
"""Segments up to which credit is exact unless a solution is named: 4,096 coalitions."""

_SAMPLED_BUDGET = 512
_PAIRS = 8
"""Pairs of orders that the default estimate of an episode has at least."""


@dataclass(frozen=True, eq=False)
class CreditedText:
    """A text, its segments and what each earned.

    Attributes:
        text: The text that was valued; empty where there was none.
        spans: Its N segments as character spans ``[start, end)`` that tile it.
        unions: The coalition structure, a partition of ``range(N)``: the segments of each sentence, or of each
            phrase with ``words-in-phrases``, or of each turn where the text is an episode.
        worth: Worth of the whole text, equal to its reward bit for bit; 0 where there was no text.
        credit: float64 (N,), in the unit of the reward. Credit of an efficient solution sums to the worth less that
            of the empty coalition.
        standard_error: float64 (N,), of credit that is estimated, nan where it is unknown: where a single pair of
            orders was drawn, or worths are estimated. None where credit is exact.
        solution: Name of the solution of the game.
        coalitions: bool (C, N), the subsets that the solution asked for; a row may stand twice.
        worths: float64 (C,), what each is worth.
        players: Number of segments that count, which are the first ones.
        calls: Distinct texts that were scored at most, where other worths are estimated; None where all were scored.
    """

    text: str
    spans: list[tuple[int, int]]
    unions: list[list[int]]
    worth: float
    credit: NDArray[np.float64]
    standard_error: NDArray[np.float64] | None
    solution: str
    coalitions: Coalitions
    worths: NDArray[np.float64]
    players: int
    calls: int | None = None

    @property
    def distinct_coalitions(self) -> int:
        """Number of different subsets of the segments that credit was computed from."""
        return len(np.unique(self.coalitions, axis=0))

    @property
    def unions_matter(self) -> bool:
        """True if the unions can make Owen values differ from Shapley values: there are two, and one has two segments.

        In all other structures the two are equal, whatever the game. Segments that do not count are no players.
        """
        players = [sum(segment < self.players for segment in block) for block in self.unions]
        return sum(size > 0 for size in players) > 1 and max(players) > 1


def assign_credit(
    task: CoalitionTask,
    prompt_ids: Sequence[str],
    texts: Sequence[str | None],
    *,
    segmenter: str | Segmenter | None = None,
    solution: str | Solution | None = None,
    seeds: Sequence[int] | None = None,
    over_budget: str = "raise",
    calls: int | None = None,
) -> list[CreditedText]:
    """Divide the reward of each text among its segments; the task is called once for the whole batch.

    Segments that do not count, such as those beyond a task's word cap, take no part in the game: they get no credit and
    cost no evaluation.

    Texts may be of any prompts, in any order; each is credited by itself. With the default seeds its credit does not
    depend on its neighbours, so that a batch may be split among processes.

    Args:
        task: Values subsets of a text's segments: any task of ``ospo_env`` (``env.unwrapped.task``), or an object of
            your own with that one method.
        prompt_ids: The prompt that each text answers, length B.
        texts: Rewrites, length B, without reasoning or tags around them. None for a completion that holds no rewrite:
            it has no segments and is worth 0, whatever the task says of the empty text.
        segmenter: Cuts a text into segments: a name in :data:`ospo_agents.segments.SEGMENTERS`, or a function from
            a text to character spans that tile it, whose unions are sentences. Of an episode in turns the unions are
            the turns, whatever cuts it. None for :func:`default_segmenter`.
        solution: Divides the worth: a name in :data:`ospo_agents.credit.SOLUTIONS`, or a result of
            :func:`ospo_agents.credit.make_solution`. None takes ``shapley`` up to :data:`EXACT_SEGMENTS`
            segments and ``sampled_shapley`` beyond; of an episode in turns, ``owen`` with turns as unions where its
            coalitions are as few, at most 4,096, else ``sampled_owen`` with at least 8 pairs of orders. The result
            says which.
        seeds: Seed of each text's coalitions where they are sampled, length B; None for :func:`content_seed`.
        over_budget: Treatment of a text with more segments than the solution's budget allows: ``"raise"`` an error, or
            ``"sample"`` its credit, which the result says: by ``sampled_owen`` for a solution with unions, as long as
            that has the budget, and else by ``sampled_shapley``.
        calls: Distinct texts of each rewrite that the task scores at most; it estimates other worths. A rewrite with as
            many segments that count, or more, gets one more call than segments; the result says so. None scores all
            texts, as does a task whose coalitions are sums. ``seeds`` choose the texts.

    Returns:
        One result for each text, in order.

    Raises:
        BudgetError: A solution needs more coalitions than its budget, and ``over_budget`` is ``"raise"``.
        AgentError: Lengths differ, a name is unknown, spans do not tile their text, ``calls`` is no number of calls or
            the task takes none, or the task's worths are not finite or not one for each coalition.

    >>> class Halves:  # each of two words is worth a half
    ...     def coalition_values(self, prompt_ids, texts, spans, coalitions):
    ...         return [rows.sum(axis=1) / 2 for rows in coalitions]
    >>> (credited,) = assign_credit(Halves(), ["q1"], ["red shoes"], segmenter="words")
    >>> credited.worth, credited.credit.tolist(), credited.solution
    (1.0, [0.5, 0.5], 'shapley')
    """
    rewrites = [text or "" for text in texts]
    if seeds is None:
        seeds = [content_seed(prompt_id, text) for prompt_id, text in zip(prompt_ids, rewrites, strict=False)]
    if not len(prompt_ids) == len(texts) == len(seeds):
        raise AgentError(
            f"expected one prompt id and one seed for each text, but got {len(prompt_ids)} prompt ids, {len(texts)} "
            f"texts and {len(seeds)} seeds"
        )
    if not rewrites:
        return []
    if over_budget not in ("raise", "sample"):
        raise unknown("over_budget", over_budget, ("raise", "sample"))
    in_turns = is_in_turns(task)
    segmenter = default_segmenter(solution, in_turns=in_turns) if segmenter is None else segmenter
    cut = make_segmenter(segmenter) if isinstance(segmenter, str) else segmenter
    cut_unions = turns if in_turns else _union_segmenter(segmenter)
    spans = [list(cut(text)) for text in rewrites]
    structures = [unions(tiles, cut_unions(text)) for tiles, text in zip(spans, rewrites, strict=True)]
    counts = _scored_segments(task, prompt_ids, rewrites, spans)
    solutions = [
        _solution_for(count, solution, _first(structure, count) if in_turns else None)
        for count, structure in zip(counts, structures, strict=True)
    ]
    games = [
        _plan(chosen, count, _first(structure, count), seed, over_budget)
        for chosen, count, structure, seed in zip(solutions, counts, structures, seeds, strict=True)
    ]
    # The grand coalition comes last, whatever the plan asks: its worth is the reward.
    coalitions = [
        np.vstack([_widened(plan, len(tiles)), np.ones((1, len(tiles)), dtype=bool)])
        for (_, plan), tiles in zip(games, spans, strict=True)
    ]
    bounds = call_bounds(task, calls, counts)
    if bounds is None:
        values = task.coalition_values(prompt_ids, rewrites, spans, coalitions)
    else:
        assert isinstance(task, BoundedTask)
        values = task.coalition_values(prompt_ids, rewrites, spans, coalitions, calls=bounds, seeds=seeds)
    _check_values(values, coalitions)
    return [
        _credited_text(
            text,
            spans[b],
            structures[b],
            *games[b],
            values[b],
            None if bounds is None else reached_bound(bounds[b], coalitions[b][:, : counts[b]]),
        )
        for b, text in enumerate(texts)
    ]


def content_seed(prompt_id: str, text: str) -> int:
    """Seed of a sampled plan, in [0, 2^32): a function of the text that is credited, not of its batch or process.

    >>> content_seed("q1", "red shoes") == content_seed("q1", "red shoes") != content_seed("q2", "red shoes")
    True
    """
    return zlib.crc32(f"{prompt_id}\0{text}".encode(errors="surrogatepass"))


def is_in_turns(task: object) -> bool:
    """Whether texts of a task are episodes, a line a turn."""
    return isinstance(task, TurnTask) and bool(task.in_turns)


def default_segmenter(solution: str | Solution | None = None, *, in_turns: bool = False) -> str:
    """Name of the segmenter of a solution where none is named.

    Episodes in turns are cut into phrases that form unions by turn, whatever the solution. Else a solution whose credit
    depends on unions takes words in phrases. Phrases would form unions by sentence, and a rewrite of one sentence has
    one union, for which Owen values are Shapley values.

    Raises:
        AgentError: The solution's name is unknown.

    >>> default_segmenter(), default_segmenter("owen")
    ('phrases', 'words-in-phrases')
    """
    if in_turns:
        return "phrases-in-turns"
    needs_unions = solution is not None and _solution_for(0, solution).needs_unions
    return "words-in-phrases" if needs_unions else "phrases"


def _union_segmenter(segmenter: str | Segmenter) -> Segmenter:
    """The function that cuts a text of one step into the unions of a segmenter's segments."""
    return make_union_segmenter(segmenter) if isinstance(segmenter, str) else sentences


def _solution_for(n: int, solution: str | Solution | None, structure: list[list[int]] | None = None) -> Solution:
    """The solution to use for n segments, and of an episode for its turns."""
    if isinstance(solution, Solution):
        return solution
    if solution is None and structure is not None:
        if owen_evaluations(structure) <= 2**EXACT_SEGMENTS:
            return make_solution("owen")
        return make_solution("sampled_owen", budget=max(_SAMPLED_BUDGET, _PAIRS * 2 * n))
    return make_solution(solution or ("shapley" if n <= EXACT_SEGMENTS else "sampled_shapley"))


def _scored_segments(
    task: CoalitionTask, prompt_ids: Sequence[str], texts: Sequence[str], spans: Sequence[Spans]
) -> list[int]:
    """Number of segments of each text that count: all, unless the task says that it cuts texts."""
    if not isinstance(task, CappedTask):
        return [len(tiles) for tiles in spans]
    lengths = task.scored(prompt_ids, texts).tolist()
    return [sum(start < length for start, _ in tiles) for tiles, length in zip(spans, lengths, strict=True)]


def _plan(
    solution: Solution, count: int, structure: list[list[int]], seed: int, over_budget: str
) -> tuple[Solution, Coalitions]:
    """The solution that a text gets, and its coalitions."""
    others = [make_solution(name) for name in (["sampled_owen"] if solution.needs_unions else []) + ["sampled_shapley"]]
    for chosen in [solution, *others]:
        try:
            return chosen, chosen.plan(count, structure, seed)
        except BudgetError:
            if over_budget == "raise":
                raise
    raise AssertionError("sampled_shapley has a plan for any number of segments")


def _first(structure: list[list[int]], count: int) -> list[list[int]]:
    """Unions of the first segments alone."""
    kept = [[segment for segment in block if segment < count] for block in structure]
    return [block for block in kept if block]


def _widened(plan: Coalitions, count: int) -> Coalitions:
    """Coalitions of the first segments as those of all, without the others."""
    if plan.shape[1] == count:
        return plan
    wide = np.zeros((len(plan), count), bool)
    wide[:, : plan.shape[1]] = plan
    return wide


def _extended(values: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Values of the first segments as those of all, 0 for the others."""
    return np.concatenate([values, np.zeros(count - len(values))])


def _check_values(values: Sequence[NDArray[np.float64]], coalitions: Sequence[Coalitions]) -> None:
    """Raise :class:`AgentError` unless each text has one worth for each of its coalitions."""
    shapes, expected = [np.shape(worths) for worths in values], [rows.shape[:1] for rows in coalitions]
    if shapes != expected:
        raise AgentError(f"expected coalition_values of the shapes {expected}, but the task gave {shapes}")


def _credited_text(
    text: str | None,
    spans: list[tuple[int, int]],
    structure: list[list[int]],
    solution: Solution,
    plan: Coalitions,
    values: NDArray[np.float64],
    calls: int | None,
) -> CreditedText:
    """Credit of one text, from the worths of its plan and, last, of the whole text."""
    worths, worth = values[:-1], float(values[-1])
    if not np.isfinite(worth):
        raise AgentError(f"expected finite worths, but the task gave {worth} for the whole text")
    blocks = _first(structure, plan.shape[1])
    standard_error = None
    if solution.solve_with_error is None:
        credit = solution.solve(plan, worths, blocks)
    else:
        credit, error = solution.solve_with_error(plan, worths, blocks)
        standard_error = _extended(error, len(spans))
    if calls is not None:
        standard_error = np.full(len(spans), np.nan)
    return CreditedText(
        text=text or "",
        spans=spans,
        unions=structure,
        worth=0.0 if text is None else worth,
        credit=_extended(credit, len(spans)),  # segments that do not count have none
        standard_error=standard_error,
        solution=solution.name,
        coalitions=_widened(plan, len(spans)),
        worths=worths,
        players=plan.shape[1],
        calls=calls,
    )

"""Two solutions of the game compared on real rewrites: the credit of the same segments, and how often they differ."""

import json
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from ospo_agents.assignment import CreditedText, assign_credit, default_segmenter
from ospo_agents.credit import make_solution
from ospo_cli._explanation_page import check_query
from ospo_cli._outputs import write_file
from ospo_cli._policies import Request, open_policy, settings_of
from ospo_cli._tasks import open_task
from ospo_cli._terminal import say
from ospo_env import RetrievalTask
from ospo_env.rendering import terminal_line

__all__ = ["Compared", "Comparison", "compare", "show_comparison"]

_EQUAL = 1e-9  # credit that differs by no more is rounded differently
_AT_ONCE = 64  # rewrites in one call of assign_credit, since exact plans are large


@dataclass(frozen=True)
class Compared:
    """A rewrite with the credit of two solutions.

    Attributes:
        prompt_id: Id of its prompt.
        first: Its credit by the one solution.
        second: Its credit by the other, of the same segments.
    """

    prompt_id: str
    first: CreditedText
    second: CreditedText

    @property
    def difference(self) -> float:
        """Mean absolute difference of the credit of its segments; 0 where there is none."""
        differences = np.abs(self.first.credit - self.second.credit)
        return float(differences.mean()) if len(differences) else 0.0

    @property
    def correlation(self) -> float | None:
        """Spearman's rank correlation over its segments; None where all segments have the same credit."""
        one, other = self.first.credit.round(9), self.second.credit.round(9)
        if len(one) < 2 or np.ptp(one) == 0 or np.ptp(other) == 0:
            return None
        return float(spearmanr(one, other).statistic)

    @property
    def other_top(self) -> bool:
        """Whether the two solutions have no segment of the highest credit in common."""
        if not len(self.first.credit):
            return False
        tops = [text.credit >= text.credit.max() - _EQUAL for text in (self.first, self.second)]
        return not (tops[0] & tops[1]).any()


@dataclass(frozen=True)
class Comparison:
    """A comparison of two solutions over the rewrites of several prompts.

    Attributes:
        segmenter: Name of the segmenter.
        rows: The rewrites that have segments, in the order of their prompts.
        empty: Number of rewrites without a segment.
    """

    segmenter: str
    rows: tuple[Compared, ...]
    empty: int

    def summary(self) -> dict[str, float | int | None]:
        """Numbers over the rewrites: shares, and means in the metric's unit; None where no rewrite tells."""
        several = [row for row in self.rows if row.first.unions_matter]
        correlations = [row.correlation for row in self.rows if row.correlation is not None]
        size = [np.abs(row.first.credit).mean() for row in self.rows]
        return {
            "rewrites": len(self.rows),
            "empty": self.empty,
            "unions_matter": _mean([row.first.unions_matter for row in self.rows]),
            "mean_absolute_credit": _mean(size),
            "mean_absolute_difference": _mean([row.difference for row in self.rows]),
            "mean_absolute_difference_where_unions_matter": _mean([row.difference for row in several]),
            "differs": _mean([row.difference > _EQUAL for row in self.rows]),
            "rank_correlation": _mean(correlations),
            "other_top_segment": _mean([row.other_top for row in self.rows]),
            "other_top_segment_where_unions_matter": _mean([row.other_top for row in several]),
            "estimated": sum(_estimated(row.first) or _estimated(row.second) for row in self.rows),
        }


def compare(
    task: RetrievalTask,
    ids: Sequence[str],
    texts: Sequence[str],
    solutions: Sequence[str],
    segmenter: str | None = None,
) -> Comparison:
    """Share out the worth of each rewrite by two solutions.

    Args:
        task: The task that values them.
        ids: B prompts.
        texts: B rewrites.
        solutions: Two names in ``ospo_agents.credit.SOLUTIONS``. A text of too many segments for a solution's budget
            is credited by its sampled form.
        segmenter: A name in ``ospo_agents.segments.SEGMENTERS``; None for the default of the solution that has unions,
            or of the first.

    Raises:
        AgentError: A name is unknown.
    """
    if segmenter is None:
        with_unions = [name for name in solutions if make_solution(name).needs_unions]
        segmenter = default_segmenter([*with_unions, *solutions][0])
    rows, empty = [], 0
    for start in range(0, len(ids), _AT_ONCE):
        chunk = slice(start, start + _AT_ONCE)
        first, second = (
            assign_credit(
                task, ids[chunk], texts[chunk], segmenter=segmenter, solution=name, over_budget="sample"
            )
            for name in solutions
        )  # fmt: skip
        pairs = list(map(Compared, ids[chunk], first, second))
        rows += [pair for pair in pairs if pair.first.spans]
        empty += sum(not pair.first.spans for pair in pairs)
    return Comparison(segmenter, tuple(rows), empty)


def show_comparison(arguments: Namespace) -> None:
    """Compare two solutions on rewrites, and print the comparison or write it as JSON.

    Args:
        arguments: As ``ospo explain`` parses them, with ``--compare``.
    """
    for name in arguments.compare:
        make_solution(name)  # an unknown one is told before the task is opened
    policies = {}
    if arguments.policy is not None:
        request = Request(
            arguments.env, arguments.data, arguments.split, arguments.temperature, None, arguments.seed,
            retrievers=(arguments.retriever,),
        )  # fmt: skip
        policies = {arguments.policy: open_policy(arguments.policy, request)}
    task = open_task(
        arguments.env,
        arguments.data,
        split=arguments.split if policies else None,
        retriever=arguments.retriever,
        **settings_of(arguments, {name: policy.made_for for name, policy in policies.items()}),
    )
    if not policies:
        check_query(arguments.query_id, task)
        ids, texts = [arguments.query_id], [arguments.text]
    else:
        (policy,) = policies.values()
        ids, prompts = task.prompts(arguments.split)
        policy.check(task, ids)
        rewrites = policy.write(task, ids, prompts, lambda done: None)
        ids, texts = ids[: arguments.queries], list(rewrites.texts)[: arguments.queries]
    comparison = compare(task, ids, texts, arguments.compare, arguments.segmenter)
    content = json.dumps(_as_json(comparison, arguments, task), indent=2)
    if arguments.json == Path("-"):
        say(content)
        return
    lines = _lines(comparison, arguments, task)
    if arguments.json is not None:
        write_file(arguments.json, content.encode() + b"\n")
        lines.append(terminal_line(f"Wrote {arguments.json}"))
    say("\n".join(lines), cleaned=True)


def _lines(comparison: Comparison, arguments: Namespace, task: RetrievalTask) -> list[str]:
    kind = "synthetic data" if task.data.synthetic else "real data"
    one, other = arguments.compare
    lines = [
        terminal_line(f"{arguments.env} ({task.data.manifest['dataset']}, {kind}), {arguments.retriever}"),
        f"{one} and {other} of {comparison.segmenter.replace('-', ' ')}, {task.metric}; | stands between unions",
    ]
    widest = sorted(comparison.rows, key=lambda row: -row.difference)[: arguments.shown]
    for row in widest:
        lines += ["", terminal_line(f"{row.prompt_id}: {row.first.text}"), f"{one:>16} {other:>16}  segment"]
        starts = {block[0] for block in row.first.unions[1:]}
        for number, (start, end) in enumerate(row.first.spans):
            if number in starts:
                lines.append(f"{'':>33}  |")
            cells = " ".join(f"{text.credit[number]:>+16.3f}" for text in (row.first, row.second))
            lines.append(f"{cells}  {terminal_line(row.first.text[start:end])}")
    return [*lines, "", *_summary_lines(comparison, one, other)]


def _summary_lines(comparison: Comparison, one: str, other: str) -> list[str]:
    summary = comparison.summary()
    if not comparison.rows:
        return [f"No rewrite has a segment ({summary['empty']} are empty): there is nothing to compare."]
    lines = [
        f"Rewrites with a segment               {summary['rewrites']} ({summary['empty']} more have none)",
        f"Several unions, one of several words  {_number(summary['unions_matter'])}  (elsewhere owen equals shapley)",
        f"Credit differs                        {_number(summary['differs'])}",
        f"Mean absolute difference              {_number(summary['mean_absolute_difference'], 4)}  "
        f"(mean absolute credit of {one}: {_number(summary['mean_absolute_credit'], 4)})",
        f"  where unions matter                 {_number(summary['mean_absolute_difference_where_unions_matter'], 4)}",
        f"Rank correlation in a rewrite, mean   {_number(summary['rank_correlation'])}",
        f"Another top segment                   {_number(summary['other_top_segment'])}",
        f"  where unions matter                 {_number(summary['other_top_segment_where_unions_matter'])}",
    ]
    if summary["estimated"]:
        lines.append(f"Estimated credit in {summary['estimated']} rewrites: differences hold its errors too.")
    if not summary["unions_matter"] and any(make_solution(name).needs_unions for name in (one, other)):
        lines.append("No rewrite has unions that matter: the Owen value equals the Shapley value in all of them.")
    return lines


def _estimated(text: CreditedText) -> bool:
    """Whether credit has an error, known or not."""
    return text.standard_error is not None and not (text.standard_error == 0).all()


def _number(value: float | int | None, digits: int = 3) -> str:
    return "none" if value is None else f"{value:.{digits}f}"


def _mean(values: Sequence[Any]) -> float | None:
    return float(np.mean(values)) if values else None


def _as_json(comparison: Comparison, arguments: Namespace, task: RetrievalTask) -> dict[str, Any]:
    one, other = arguments.compare
    return {
        "env": arguments.env,
        "dataset": task.data.manifest["dataset"],
        "synthetic": task.data.synthetic,
        "data_fingerprint": task.data.fingerprint,
        "retriever": arguments.retriever,
        "metric": task.metric,
        "candidates": task.candidates,
        "policy": arguments.policy,
        "segmenter": comparison.segmenter,
        "solutions": [one, other],
        "summary": comparison.summary(),
        "rewrites": [
            {
                "prompt_id": row.prompt_id,
                "text": row.first.text,
                "unions": row.first.unions,
                "segments": [
                    {"text": row.first.text[start:end], "credit": [float(a), float(b)]}
                    for (start, end), a, b in zip(row.first.spans, row.first.credit, row.second.credit, strict=True)
                ],
            }
            for row in comparison.rows
        ],
    }

"""Accuracy of credit where the texts that a retriever scores are bounded, beside that of all texts."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ospo_agents.assignment import assign_credit
from ospo_agents.credit import make_solution
from ospo_agents.segments import phrases
from ospo_agents.training.progress import quiet
from ospo_cli._study.accuracy import WarmRollouts, areas, warm_rollouts
from ospo_cli._study.cells import open_cell, write_report
from ospo_cli._study.plan import Cell
from ospo_cli._study.tables import markdown
from ospo_env.evaluation.intervals import seed_interval

__all__ = ["few_calls", "measure_few_calls"]

_CALLS = (8, 16, 32)
_PERMUTATIONS = (16, 32, 64)
_AT_ONCE = 64  # rollouts in one call


def measure_few_calls(cell: Cell, warm: Path, path: Path) -> None:
    """Write the areas under the ROC curve of one task and seed as compressed JSON.

    Args:
        cell: Task, seed and split; ``settings`` holds ``retriever`` and ``queries``, how many of the first.
        warm: Directory of the policy.
        path: File to write: the cell's fields and ``credit``, from a name to ``all``, ``same query`` and ``texts``, the
            mean number of texts of a rollout that its credit may need.
    """
    quiet()
    task = open_cell(cell, cell.settings["retriever"])
    rollouts = warm_rollouts(cell, warm, task, cell.settings["queries"])
    default = make_solution("sampled_shapley")
    credit = {f"at most {calls} texts": _areas(task, rollouts, default, calls) for calls in _CALLS}
    credit["all texts"] = _areas(task, rollouts, default, None)
    for budget in _PERMUTATIONS:
        solution = make_solution("permutation_shapley", budget=budget)
        credit[f"permutations, at most {budget} texts"] = _areas(task, rollouts, solution, None)
    write_report(path, {**dataclasses.asdict(cell), "credit": credit, "right": float(rollouts.flat.mean())})


def few_calls(task: str, reports: Sequence[Mapping[str, Any]]) -> str:
    """Table of the areas of one task over seeds."""
    rows = []
    for name in reports[0]["credit"]:
        entries = [report["credit"][name] for report in reports]
        areas_of = (seed_interval([entry[pairs] for entry in entries]) for pairs in ("all", "same query"))
        rows.append([name, *areas_of, f"{np.mean([entry['texts'] for entry in entries]):,.1f}"])
    retriever = reports[0]["settings"]["retriever"].partition(":")[0]
    title = f"Credit of segments, area under the ROC curve: {task}, {len(reports)} seeds, {retriever}"
    return markdown(title, ["of", "any two", "of one query's rollouts", "texts a rollout"], rows)


def _areas(task: Any, rollouts: WarmRollouts, solution: Any, calls: int | None) -> dict[str, float]:
    """Areas of credit, and the mean number of texts that a rollout's credit may need."""
    credit: list[NDArray[np.float64]] = []
    texts = 0
    for first in range(0, len(rollouts.ids), _AT_ONCE):
        some = slice(first, first + _AT_ONCE)
        credited = assign_credit(
            task,
            rollouts.ids[some],
            rollouts.texts[some],
            segmenter=phrases,
            solution=solution,
            over_budget="sample",
            calls=calls,
        )
        credit += [text.credit for text in credited]
        texts += sum(text.calls or max(text.distinct_coalitions - 1, 0) for text in credited)
    values = np.concatenate(credit)
    return {**areas(values, rollouts.flat, rollouts.queries), "texts": texts / len(rollouts.ids)}

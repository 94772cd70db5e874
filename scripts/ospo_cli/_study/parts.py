"""The parts of the study: which runs each trains, and which tables and pictures it makes of them."""

import json
import sys
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ospo_cli._modes import modes_of
from ospo_cli._study import tables
from ospo_cli._study import turns as in_turns
from ospo_cli._study.advantage_tables import true_advantages
from ospo_cli._study.few_calls import few_calls
from ospo_cli._study.plan import (
    ABLATIONS,
    CONTINUATIONS,
    FEW_CALLS_QUERIES,
    METHODS,
    QUERIES,
    SELECTION_SEED,
    TASKS,
    TRAINED_ON,
    Cell,
)
from ospo_cli._study.plots import draw_curves
from ospo_cli._study.processes import read_cell, train, work
from ospo_cli._study.real_lm import part as real_lm
from ospo_cli._terminal import say

__all__ = ["choose_rates", "study"]

_COMMAND = (sys.executable, "-m", "ospo_cli", "study")


def study(arguments: Namespace) -> None:
    """Train what is missing and print the tables of a part, or do one process's work.

    Args:
        arguments: As ``ospo study`` parses them.
    """
    if arguments.cell is not None:
        job = json.loads(arguments.cell)
        if job.get("part") in _WORKERS:
            _WORKERS[job["part"]](job, arguments.out)
        else:
            work(arguments.cell, arguments.out)
        return
    _PARTS[arguments.part](arguments)


def _settings(method: str) -> dict[str, Any]:
    return METHODS[method] if method in METHODS else ABLATIONS[method].settings


def _cells(arguments: Namespace, rates: Any) -> list[Cell]:
    """Training runs of a part, ordered by seed, then task and method."""
    data = None if arguments.data is None else str(arguments.data)
    return [
        Cell(
            task=task,
            method=method,
            settings={**_settings(method), "learning_rate": rates(task, method)},
            seed=seed,
            steps=arguments.steps,
            every=arguments.every,
            split="test",
            data=data if TASKS[task].needs_data else None,
            **modes_of(vars(arguments)),
        )
        for seed in range(arguments.seeds)
        for task in arguments.tasks
        for method in arguments.methods
    ]


def _train(arguments: Namespace, cells: Sequence[Cell], label: str) -> None:
    train(_COMMAND, arguments.out, cells, arguments.processes, label)


def _runs(arguments: Namespace, cells: Sequence[Cell], task: str) -> dict[str, list[dict[str, Any]]]:
    """Reports of a task's finished runs by method, one for each seed."""
    return {
        method: [read_cell(arguments.out, cell) for cell in cells if (cell.task, cell.method) == (task, method)]
        for method in arguments.methods
    }


def _learning(arguments: Namespace) -> None:
    chosen = choose_rates(arguments)
    if not arguments.seeds:
        return
    cells = _cells(arguments, lambda task, method: chosen[task, method])
    _train(arguments, cells, "learning")
    for task in arguments.tasks:
        runs = _runs(arguments, cells, task)
        say()
        say(tables.curves(task, runs))
        if "grpo" in runs:
            say(tables.differences(task, runs, {method: chosen[task, method] for method in runs}))
        _print_unseen(arguments, task, runs)
        say(tables.repetition(task, runs))
        picture = arguments.out / f"{task}.png"
        draw_curves(runs, picture, title=f"{task}: {arguments.seeds} seeds, mean and 95 % interval")
        say(f"Wrote {picture}")


def _accuracy(arguments: Namespace) -> None:
    if arguments.few_calls is not None:
        settings = {"retriever": arguments.few_calls, "queries": FEW_CALLS_QUERIES}
        _measured(arguments, "few calls", settings, few_calls)
        return
    _measured(arguments, "accuracy", {}, tables.accuracy)


def _true_advantage(arguments: Namespace) -> None:
    settings = {"queries": QUERIES, "continuations": CONTINUATIONS}
    _measured(arguments, "true advantage", settings, true_advantages, steps=arguments.steps, split="validation")


def _measured(
    arguments: Namespace,
    what: str,
    settings: Mapping[str, Any],
    table: Callable[[str, Sequence[Mapping[str, Any]]], str],
    *,
    steps: int = 1,
    split: str = "test",
) -> None:
    """Measure something of the policies of each task and seed, and print its tables."""
    cells = [
        Cell(
            task=task,
            method=what.replace(" ", "-"),
            settings=settings,
            seed=seed,
            steps=steps,
            every=1,
            split=split,
            **modes_of(vars(arguments)),
        )
        for seed in range(arguments.seeds)
        for task in arguments.tasks
    ]
    train(_COMMAND, arguments.out, cells, arguments.processes, what, what=what)
    for task in arguments.tasks:
        say()
        say(table(task, [read_cell(arguments.out, cell) for cell in cells if cell.task == task]))


def _ablations(arguments: Namespace) -> None:
    cells = _cells(arguments, lambda task, method: arguments.learning_rate)
    _train(arguments, cells, "ablations")
    for task in arguments.tasks:
        say()
        say(tables.ablations(task, _runs(arguments, cells, task)))


def _real(arguments: Namespace) -> None:
    cells = _cells(arguments, lambda task, method: arguments.learning_rate)
    _train(arguments, cells, "real data")
    data = str(arguments.data)
    for task in arguments.tasks:
        runs = _runs(arguments, cells, task)
        say()
        say(tables.references(task, "test", [TRAINED_ON, *arguments.unseen], data, modes_of(vars(arguments))))
        say(tables.curves(task, runs))
        if "grpo" in runs:
            say(tables.differences(task, runs, dict.fromkeys(runs, arguments.learning_rate)))
        _print_unseen(arguments, task, runs, data)


def _real_lm(arguments: Namespace) -> None:
    real_lm.real_lm(arguments, _COMMAND)


def _turns(arguments: Namespace) -> None:
    in_turns.turns(arguments, _COMMAND)


def _print_unseen(arguments: Namespace, task: str, runs: Any, data: str | None = None) -> None:
    kinds = tables.kinds_kept(runs)
    for kind in kinds:
        say(tables.out_of_distribution(task, runs, arguments.unseen, data, kind))
    if "sampled" not in kinds:
        say(f"{arguments.out} holds runs of an earlier version, which kept no sampled rewrites; another --out has them")


def choose_rates(arguments: Namespace) -> dict[tuple[str, str], float]:
    """The learning rate of each task and method with the best final value on validation queries, by --select."""
    pairs = [(task, method) for task in arguments.tasks for method in arguments.methods]
    if not arguments.selection_seeds:
        return dict.fromkeys(pairs, arguments.learning_rate)
    cells = [
        Cell(
            task=task,
            method=method,
            settings={**_settings(method), "learning_rate": rate},
            seed=SELECTION_SEED + number,
            steps=arguments.selection_steps,
            every=arguments.selection_steps,
            split="validation",
            **modes_of(vars(arguments)),
        )
        for number in range(arguments.selection_seeds)
        for task, method in pairs
        for rate in arguments.learning_rates
    ]
    _train(arguments, cells, "learning rates")
    final: dict[tuple[str, str], dict[float, list[float]]] = {pair: {} for pair in pairs}
    ends: dict[tuple[str, str, float], list[dict[str, float]]] = {}
    for cell in cells:
        rate, end = cell.settings["learning_rate"], read_cell(arguments.out, cell)["curve"][-1]
        final[cell.task, cell.method].setdefault(rate, []).append(end[arguments.select])
        ends.setdefault((cell.task, cell.method, rate), []).append(end)
    say()
    say(tables.rates(ends, arguments.selection_seeds, arguments.select))
    return {pair: max(values, key=lambda rate: float(np.mean(values[rate]))) for pair, values in final.items()}


_PARTS = {
    "learning": _learning,
    "accuracy": _accuracy,
    "true-advantage": _true_advantage,
    "ablations": _ablations,
    "real": _real,
    "real-lm": _real_lm,
    "turns": _turns,
}
_WORKERS = {real_lm.WHAT: real_lm.work, in_turns.WHAT: in_turns.work}

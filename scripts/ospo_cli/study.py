"""What credit assignment buys, with seeds and intervals.

Four parts, each of which prints its tables:

learning   curves of OSPO and GRPO on the embedded tasks; rollouts to GRPO's final value; unseen retrievers
accuracy   whether credit, and the advantages of tokens made of it, tell right phrases from wrong ones
ablations  other solutions, redistributions, budgets, widths and segments than the defaults
real       the H&M slice given by --data: raw query, warm start, GRPO, OSPO

Each training run is a process of its own on one thread and leaves one JSON file. Run the command again after an
interruption: what is finished is kept. In `learning`, the learning rate of each method is chosen on validation
queries with seeds of their own, by sampled or by greedy rewrites (--select); the reported seeds and the test split
are touched afterwards.
"""

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ospo_agents import AgentError
from ospo_cli._cli import Parser
from ospo_cli._study import tables
from ospo_cli._study.plan import ABLATIONS, METHODS, SELECTION_SEED, TASKS, TRAINED_ON, Cell
from ospo_cli._study.plots import draw_curves
from ospo_cli._study.processes import read_cell, train, work

# What a part does where the command line says nothing.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "learning": {"tasks": ["shopping", "fashion"], "methods": ["grpo", "ospo"], "seeds": 10, "steps": 100},
    "accuracy": {"tasks": ["shopping", "fashion"], "methods": [], "seeds": 3, "steps": 1},
    "ablations": {"tasks": ["shopping"], "methods": list(ABLATIONS), "seeds": 3, "steps": 100},
    "real": {"tasks": ["hm"], "methods": ["grpo", "ospo"], "seeds": 3, "steps": 100},
}
_QUICK: dict[str, Any] = {"seeds": 2, "steps": 50, "selection_seeds": 0}
_COMMAND = (sys.executable, "-m", "ospo_cli", "study")


def parse(argv: Sequence[str] | None) -> Namespace:
    """The arguments."""
    parser = Parser(description=__doc__)
    parser.add_argument("part", nargs="?", choices=list(_DEFAULTS), default="learning", help="what to study")
    parser.add_argument("--out", type=Path, default=Path("runs/study"), help="directory of the training runs")
    parser.add_argument("--quick", action="store_true", help="two seeds, few steps, one task: to see it move")
    parser.add_argument("--data", type=Path, help="prepared H&M directory, for the part real")
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), help="tasks (default: those of the part)")
    names = list(dict.fromkeys([*METHODS, *ABLATIONS]))
    parser.add_argument("--methods", nargs="+", choices=names, metavar="NAME", help=f"of {', '.join(names)}")
    parser.add_argument("--seeds", type=int, help="seeds to report")
    parser.add_argument("--steps", type=int, help="optimiser steps of 64 rollouts")
    parser.add_argument("--every", type=int, default=25, help="steps between evaluations")
    parser.add_argument("--learning-rate", type=float, default=3e-4, help="where none is chosen")
    parser.add_argument("--learning-rates", nargs="+", type=float, default=[1.5e-4, 3e-4, 6e-4], help="to choose from")
    parser.add_argument(
        "--select", choices=("sampled", "greedy"), default="sampled", help="final value that rates are chosen by"
    )
    parser.add_argument("--selection-seeds", type=int, help="seeds of that choice; 0 for none (default: 2)")
    parser.add_argument("--selection-steps", type=int, default=100, help="steps of its training runs")
    parser.add_argument(
        "--unseen", nargs="+", default=["lsa", "chargram"], help="retrievers that training does not see"
    )
    parser.add_argument("--processes", type=int, default=2, help="training runs at once, one thread each")
    parser.add_argument("--cell", help="used by the program itself: one training run, given as JSON")
    arguments = parser.parse_args(argv)
    defaults = {**_DEFAULTS[arguments.part], "selection_seeds": 2, **(_QUICK if arguments.quick else {})}
    if arguments.quick:
        defaults["tasks"] = defaults["tasks"][:1]
    for name, value in defaults.items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, value)
    for name in ("tasks", "methods", "unseen", "learning_rates"):
        setattr(arguments, name, list(dict.fromkeys(getattr(arguments, name))))
    _check(arguments)
    return arguments


def main(argv: Sequence[str] | None) -> None:
    """Train what is missing, print the tables."""
    arguments = parse(argv)
    if arguments.cell is not None:
        work(arguments.cell, arguments.out)
        return
    _PARTS[arguments.part](arguments)


def _check(arguments: Namespace) -> None:
    for name, least in (("seeds", 1), ("steps", 1), ("every", 1), ("processes", 1), ("selection_steps", 1)):
        if getattr(arguments, name) < least:
            raise AgentError(f"--{name.replace('_', '-')}: expected at least {least}, got {getattr(arguments, name)}")
    if arguments.selection_seeds < 0:
        raise AgentError(f"--selection-seeds: expected at least 0, got {arguments.selection_seeds}")
    if arguments.part != "accuracy" and arguments.steps % arguments.every:
        raise AgentError(f"--every: expected a divisor of --steps {arguments.steps}, got {arguments.every}")
    if TRAINED_ON in arguments.unseen:
        raise AgentError(
            f"--unseen: expected retrievers that training does not see; {TRAINED_ON} is the one that it does"
        )
    real = arguments.part == "real"
    for task in arguments.tasks:
        if TASKS[task].needs_data != real:
            known = [name for name, about in TASKS.items() if about.needs_data == real]
            raise AgentError(f"--tasks: expected of {', '.join(known)} in the part {arguments.part}, got {task}")
    if real and arguments.data is None:
        raise AgentError("--data: the part real needs a prepared H&M directory, as scripts/prepare.py hm writes it")


def _settings(method: str) -> dict[str, Any]:
    return METHODS[method] if method in METHODS else ABLATIONS[method].settings


def _cells(arguments: Namespace, rates: Any) -> list[Cell]:
    """A part's training runs, the first seed of all first."""
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
        )
        for seed in range(arguments.seeds)
        for task in arguments.tasks
        for method in arguments.methods
    ]


def _train(arguments: Namespace, cells: Sequence[Cell], label: str) -> None:
    train(_COMMAND, arguments.out, cells, arguments.processes, label)


def _runs(arguments: Namespace, cells: Sequence[Cell], task: str) -> dict[str, list[dict[str, Any]]]:
    """Reports of a task's finished runs by method, a seed each."""
    return {
        method: [read_cell(arguments.out, cell) for cell in cells if (cell.task, cell.method) == (task, method)]
        for method in arguments.methods
    }


def _learning(arguments: Namespace) -> None:
    chosen = _choose_rates(arguments)
    cells = _cells(arguments, lambda task, method: chosen[task, method])
    _train(arguments, cells, "learning")
    for task in arguments.tasks:
        runs = _runs(arguments, cells, task)
        print()
        print(tables.curves(task, runs))
        if "grpo" in runs:
            print(tables.differences(task, runs, {method: chosen[task, method] for method in runs}))
        _print_unseen(arguments, task, runs)
        print(tables.repetition(task, runs))
        drawn = arguments.out / f"{task}.png"
        draw_curves(runs, drawn, title=f"{task}: {arguments.seeds} seeds, mean and 95 % interval")
        print(f"Wrote {drawn}")


def _accuracy(arguments: Namespace) -> None:
    cells = [
        Cell(task=task, method="accuracy", settings={}, seed=seed, steps=1, every=1, split="test")
        for seed in range(arguments.seeds)
        for task in arguments.tasks
    ]
    train(_COMMAND, arguments.out, cells, arguments.processes, "accuracy", what="accuracy")
    for task in arguments.tasks:
        print()
        print(tables.accuracy(task, [read_cell(arguments.out, cell) for cell in cells if cell.task == task]))


def _ablations(arguments: Namespace) -> None:
    cells = _cells(arguments, lambda task, method: arguments.learning_rate)
    _train(arguments, cells, "ablations")
    for task in arguments.tasks:
        print()
        print(tables.ablations(task, _runs(arguments, cells, task)))


def _real(arguments: Namespace) -> None:
    cells = _cells(arguments, lambda task, method: arguments.learning_rate)
    _train(arguments, cells, "real data")
    data = str(arguments.data)
    for task in arguments.tasks:
        runs = _runs(arguments, cells, task)
        print()
        print(tables.references(task, "test", [TRAINED_ON, *arguments.unseen], data))
        print(tables.curves(task, runs))
        if "grpo" in runs:
            print(tables.differences(task, runs, dict.fromkeys(runs, arguments.learning_rate)))
        _print_unseen(arguments, task, runs, data)


def _print_unseen(arguments: Namespace, task: str, runs: Any, data: str | None = None) -> None:
    kinds = tables.kinds_kept(runs)
    for kind in kinds:
        print(tables.out_of_distribution(task, runs, arguments.unseen, data, kind))
    if "sampled" not in kinds:
        print(
            f"{arguments.out} holds runs of an earlier version, which kept no sampled rewrites; another --out has them"
        )


def _choose_rates(arguments: Namespace) -> dict[tuple[str, str], float]:
    """The learning rate of each task and method: the best final value, as --select says, on validation queries."""
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
    print()
    print(tables.rates(ends, arguments.selection_seeds, arguments.select))
    return {pair: max(values, key=lambda rate: float(np.mean(values[rate]))) for pair, values in final.items()}


_PARTS = {"learning": _learning, "accuracy": _accuracy, "ablations": _ablations, "real": _real}

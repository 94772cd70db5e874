"""Runs and tables of this part: what is missing is done in processes of their own, then everything is printed."""

import json
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ospo_cli._study.plan import METRIC
from ospo_cli._study.processes import run_all
from ospo_cli._study.real_lm import tables
from ospo_cli._study.real_lm.cells import make_warm_start, read_texts, write_scores, write_texts
from ospo_cli._study.real_lm.plan import (
    DATA_SETS,
    METHODS,
    REFERENCES,
    TRAINED_ON,
    UNTRAINED,
    LMCell,
    Measure,
)
from ospo_cli._tasks import open_task
from ospo_cli._terminal import say

__all__ = ["real_lm", "work"]

WHAT = "real-lm"
"""Name of the part, which its jobs carry."""

_QUICK: dict[str, Any] = {"queries": 48, "warm_start_epochs": 0.2}


def real_lm(arguments: Namespace, command: Sequence[str]) -> None:
    """Do what is missing and print the tables.

    Args:
        arguments: As ``ospo study`` parses them.
        command: The program that calls :func:`work` when it is given ``--cell``.
    """
    cells = {name: _cells(arguments, name, data) for name, data in arguments.data.items()}
    out, processes = arguments.out, arguments.processes
    every = list({cell.path(out): cell for of_one in cells.values() for cell in of_one}.values())
    absent = [cell for cell in every if not cell.path(out).is_file()]
    policies = {cell.policy_path(out) for cell in absent if cell.trained_on is not None and cell.steps}

    def keep(cell: LMCell) -> bool:
        return cell.trained_on is None and cell.policy_path(out) in policies

    untrained = [cell for cell in every if keep(cell) and not cell.policy_path(out).is_dir()]
    # A seed of every data set before the next seed: what is interrupted has something of each.
    missing = sorted({cell.path(out): cell for cell in [*absent, *untrained]}.values(), key=lambda cell: cell.seed)
    for cell in every:
        if cell.path(out).is_file():
            read_texts(cell, out)  # which says so if it is another study's, before anything is trained
    starts = {cell.warm_path(out): cell for cell in every if cell.warmed and cell.trained_on is None}
    needed = dict.fromkeys(cell.warm_path(out) for cell in missing if cell.warmed)
    first = [starts[path] for path in needed if not path.is_dir()]
    run_all(command, out, [_job("warm start", cell) for cell in first], processes, "warm starts")
    own = [_job("texts", cell, keep=keep(cell)) for cell in missing if cell.trained_on is None]
    run_all(command, out, own, processes, "texts")
    elsewhere = [_job("texts", cell) for cell in missing if cell.trained_on is not None]
    run_all(command, out, elsewhere, processes, "texts elsewhere")
    if arguments.texts_only:
        return
    cells = _chosen(cells, out)
    scores = [job for name, of_one in cells.items() for job in _score_jobs(arguments, name, of_one)]
    run_all(command, out, scores, processes, "scores")
    for name, of_one in cells.items():
        _print(arguments, name, of_one)


def work(job: Mapping[str, Any], out: Path) -> None:
    """Do one job of :func:`real_lm` in this process.

    Args:
        job: ``what`` (``warm start``, ``texts`` or ``scores``) and a ``cell``; of scores ``cells`` and a ``measure``.
        out: Directory of the study.
    """
    if job["what"] == "warm start":
        make_warm_start(LMCell(**job["cell"]), out)
    elif job["what"] == "texts":
        write_texts(LMCell(**job["cell"]), out, keep=job.get("keep", False))
    else:
        cells, measure = [LMCell(**fields) for fields in job["cells"]], Measure(**job["measure"])
        task = open_task(
            DATA_SETS[cells[0].task].env,
            Path(cells[0].data),
            split=cells[0].split,
            retriever=measure.retriever,
            metric=METRIC,
            candidates=measure.candidates,
            max_words=measure.max_words,
            **measure.modes,
        )
        for cell in cells:
            write_scores(cell, out, measure.path(cell.path(out)), task)


def _cells(arguments: Namespace, name: str, data: str) -> list[LMCell]:
    """Cells of one data set: references, the model before learning, then the learners by seed.

    Without a model there are the references alone. ``name`` is a data set, or ``NAME@SOURCE`` for policies that have
    learned on another one.
    """
    task, _, source = name.partition("@")

    def cell(method: str, policy: str | None, seed: int = 0, steps: int = 0, **settings: Any) -> LMCell:
        warmed = policy is not None and method != "zero-shot"
        return LMCell(
            task,
            data,
            policy,
            method,
            settings,
            seed,
            steps,
            "test",
            **_QUICK if arguments.quick else {},
            trained_on=source if source and warmed else None,
        )

    references = [cell(method, None) for method in REFERENCES]
    if arguments.policy is None:
        return references
    return [
        *references,
        *(cell(method, arguments.policy) for method in UNTRAINED),
        *(
            cell(
                method,
                arguments.policy,
                seed,
                arguments.steps,
                learning_rate=rate,
                **METHODS[method],
            )
            for seed in range(arguments.seeds)
            for method in arguments.methods
            for rate in arguments.learning_rates
        ),
    ]


def _chosen(cells: Mapping[str, Sequence[LMCell]], out: Path) -> dict[str, list[LMCell]]:
    """Cells of the best learning rate of each method, by data set; those of another data set as chosen there."""
    chosen = {name: _best_rates(of_one, out) for name, of_one in cells.items() if "@" not in name}
    for name, of_one in cells.items():
        if "@" in name:
            rates = {(cell.method, cell.settings.get("learning_rate")) for cell in chosen[name.partition("@")[2]]}
            chosen[name] = [cell for cell in of_one if (cell.method, cell.settings.get("learning_rate")) in rates]
    return chosen


def _best_rates(cells: Sequence[LMCell], out: Path) -> list[LMCell]:
    """Cells of the best learning rate of each method, by the best value on validation prompts, mean over seeds."""
    by_rate: dict[str, dict[Any, list[LMCell]]] = {}
    for cell in cells:
        by_rate.setdefault(cell.method, {}).setdefault(cell.settings.get("learning_rate"), []).append(cell)
    chosen, rows = [], []
    for method, rates in by_rate.items():
        if len(rates) == 1:
            chosen += next(iter(rates.values()))
            continue
        values = {rate: tables.validation_value(own, out) for rate, own in rates.items()}
        best = max(values, key=values.__getitem__)
        chosen += rates[best]
        rows.append((method, values))
    if rows:
        say(tables.rates_table(cells[0].task, rows))
    return chosen


def _measures(arguments: Namespace, name: str) -> list[Measure]:
    """Retrievers and documents that texts are measured with."""
    return [
        Measure(retriever, candidates, _modes(name))
        for candidates in arguments.candidates
        for retriever in [TRAINED_ON, *arguments.unseen]
    ]


def _sweeps(arguments: Namespace, name: str) -> dict[str, dict[int, list[Measure]]]:
    """Measures of the same texts by the words of them that count, and by the query's weight, a value each."""
    modes = _modes(name)
    places = arguments.candidates
    return {
        "words of a text that count": {
            words: [Measure(TRAINED_ON, place, modes, words) for place in places] for words in arguments.by_words
        },
        "times that the query counts": {
            weight: [Measure(TRAINED_ON, place, {**modes, "query_weight": weight}) for place in places]
            for weight in arguments.by_query_weight
            if modes["compose"] == "append"
        },
    }


def _score_jobs(arguments: Namespace, name: str, cells: Sequence[LMCell]) -> list[str]:
    measures = _measures(arguments, name)
    measures += [one for sweep in _sweeps(arguments, name).values() for of_value in sweep.values() for one in of_value]
    jobs = []
    for measure in measures:
        missing = [cell for cell in cells if not measure.path(cell.path(arguments.out)).is_file()]
        if missing:
            fields = {"cells": [asdict(one) for one in missing], "measure": measure._asdict()}
            jobs.append(json.dumps({"part": WHAT, "what": "scores", **fields}))
    return list(dict.fromkeys(jobs))


def _modes(name: str) -> dict[str, Any]:
    return DATA_SETS[name.partition("@")[0]].modes


def _job(what: str, cell: LMCell, **more: bool) -> str:
    return json.dumps({"part": WHAT, "what": what, "cell": asdict(cell), **more})


def _print(arguments: Namespace, name: str, cells: Sequence[LMCell]) -> None:
    results = tables.read_results(cells, arguments.out, _measures(arguments, name))
    task, _, source = name.partition("@")
    title = f"{task} by policies that learned on {source}" if source else task
    for candidates in arguments.candidates:
        say()
        say(tables.values_table(title, results, [TRAINED_ON, *arguments.unseen], candidates))
    say(tables.verdict_table(title, results, TRAINED_ON, arguments.candidates[0]))
    say(tables.texts_table(title, results))
    if "grpo" in results:
        say(tables.learners_table(title, results, TRAINED_ON, arguments.candidates[0]))
    for what, sweep in _sweeps(arguments, name).items():
        if sweep:
            by_value = {value: tables.read_results(cells, arguments.out, of_value) for value, of_value in sweep.items()}
            say(tables.sweep_table(title, what, by_value, TRAINED_ON, arguments.candidates))

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
    every = [cell for of_one in cells.values() for cell in of_one]
    # A seed of every data set before the next seed: what is interrupted has something of each.
    missing = sorted((cell for cell in every if not cell.path(out).is_file()), key=lambda cell: cell.seed)
    for cell in every:
        if cell.path(out).is_file():
            read_texts(cell, out)  # which says so if it is another study's, before anything is trained
    warm = {cell.warm_path(out): cell for cell in missing if cell.warmed}
    first = [cell for path, cell in warm.items() if not path.is_dir()]
    run_all(command, out, [_job("warm start", cell) for cell in first], processes, "warm starts")
    run_all(command, out, [_job("texts", cell) for cell in missing], processes, "texts")
    if arguments.texts_only:
        return
    cells = {name: _chosen(of_one, out) for name, of_one in cells.items()}
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
        write_texts(LMCell(**job["cell"]), out)
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

    Without a model there are the references alone.
    """

    def cell(method: str, policy: str | None, seed: int = 0, steps: int = 0, **settings: Any) -> LMCell:
        return LMCell(name, data, policy, method, settings, seed, steps, "test", **_QUICK if arguments.quick else {})

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


def _chosen(cells: Sequence[LMCell], out: Path) -> list[LMCell]:
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
        Measure(retriever, candidates, DATA_SETS[name].modes)
        for candidates in arguments.candidates
        for retriever in [TRAINED_ON, *arguments.unseen]
    ]


def _sweeps(arguments: Namespace, name: str) -> dict[str, dict[int, list[Measure]]]:
    """Measures of the same texts by the words of them that count, and by the query's weight, a value each."""
    modes = DATA_SETS[name].modes
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


def _job(what: str, cell: LMCell) -> str:
    return json.dumps({"part": WHAT, "what": what, "cell": asdict(cell)})


def _print(arguments: Namespace, name: str, cells: Sequence[LMCell]) -> None:
    results = tables.read_results(cells, arguments.out, _measures(arguments, name))
    for candidates in arguments.candidates:
        say()
        say(tables.values_table(name, results, [TRAINED_ON, *arguments.unseen], candidates))
    say(tables.verdict_table(name, results, TRAINED_ON, arguments.candidates[0]))
    say(tables.texts_table(name, results))
    if "grpo" in results:
        say(tables.learners_table(name, results, TRAINED_ON, arguments.candidates[0]))
    for what, sweep in _sweeps(arguments, name).items():
        if sweep:
            by_value = {value: tables.read_results(cells, arguments.out, of_value) for value, of_value in sweep.items()}
            say(tables.sweep_table(name, what, by_value, TRAINED_ON, arguments.candidates))

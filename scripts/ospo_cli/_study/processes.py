"""Cells trained in processes of their own, each pinned to one thread; finished ones are kept."""

import dataclasses
import gzip
import json
import os
import signal
import subprocess
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from ospo_agents import AgentError
from ospo_agents.progress_bar import progress_bar
from ospo_cli._modes import MODES
from ospo_cli._study.plan import Cell

__all__ = ["ALONE", "read_cell", "run_all", "train", "work"]

ALONE = {
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"), "1"),
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
"""Environment variables of a process that has one core."""


def train(
    command: Sequence[str], out: Path, cells: Iterable[Cell], processes: int, label: str, what: str = "train"
) -> None:
    """Work on the cells that are missing: first the warm starts they need, then the cells.

    Args:
        command: The program that calls :func:`work` when it is given ``--cell``.
        out: Directory of the study.
        cells: All that are wanted.
        processes: Number of processes at once.
        label: Label of the progress bar.
        what: ``train``, ``accuracy`` of the credit after the warm start, also with ``few calls``, or ``true advantage``
            of its phrases.

    Raises:
        AgentError: A process failed; the message holds the last line of its output.
    """
    missing = []
    for cell in cells:
        if cell.path(out).is_file():
            read_cell(out, cell)  # which says so if it is another study's, before anything is trained
        else:
            missing.append(cell)
    warm = {cell.warm_path(out): cell for cell in missing if not cell.warm_path(out).is_dir()}
    run_all(command, out, [_said(cell, "warm start") for cell in warm.values()], processes, "warm starts")
    run_all(command, out, [_said(cell, what) for cell in missing], processes, label)


def work(job: str, out: Path) -> None:
    """Work on one job of :func:`train`, in this process.

    Args:
        job: JSON of the cell's fields and ``what``: ``warm start``, ``train``, ``accuracy``, ``few calls`` or
            ``true advantage``.
        out: Directory of the study.
    """
    from ospo_cli._study.cells import run_cell, warm_start_cell

    fields = json.loads(job)
    what = fields.pop("what")
    cell = Cell(**fields)
    if what == "warm start":
        warm_start_cell(cell, cell.warm_path(out))
    elif what == "true advantage":
        from ospo_cli._study.true_advantage import measure_true_advantages

        measure_true_advantages(cell, cell.warm_path(out), cell.path(out))
    elif what == "few calls":
        from ospo_cli._study.few_calls import measure_few_calls

        measure_few_calls(cell, cell.warm_path(out), cell.path(out))
    elif what == "accuracy":
        from ospo_cli._study.accuracy import measure_accuracy

        measure_accuracy(cell, cell.warm_path(out), cell.path(out))
    else:
        run_cell(cell, cell.warm_path(out), cell.path(out))


def read_cell(out: Path, cell: Cell) -> dict[str, Any]:
    """The report of a finished cell.

    Raises:
        AgentError: The file is that of a cell with other settings.
    """
    path = cell.path(out)
    report: dict[str, Any] = {**MODES, **json.loads(gzip.decompress(path.read_bytes()))}
    for name, value in dataclasses.asdict(cell).items():
        if report.get(name) != value:
            raise AgentError(f"{path}: expected {name} {value!r}, got {report.get(name)!r}; remove it or change --out")
    return report


def _said(cell: Cell, what: str) -> str:
    return json.dumps({**dataclasses.asdict(cell), "what": what})


def run_all(program: Sequence[str], out: Path, work: Sequence[str], processes: int, label: str) -> None:
    """Do jobs in processes of their own, some at once, with one bar. One that fails does not stop the others.

    Args:
        program: The program that does a job when it is given ``--out`` and ``--cell``.
        out: Directory of the study.
        work: Jobs, as JSON.
        processes: Number of processes at once.
        label: Label of the bar.

    Raises:
        AgentError: Processes failed: how many, and what the first of them was and printed last.
    """
    if not work:
        return
    command = [*program, "--out", str(out), "--cell"]
    started: list[subprocess.Popen[str]] = []

    def one(job: str) -> str | None:
        process = subprocess.Popen(
            [*command, job],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **ALONE},
        )
        started.append(process)
        errors = process.communicate()[1]
        return (errors.strip().splitlines() or ["no message"])[-1] if process.returncode else None

    with ThreadPoolExecutor(processes) as pool, progress_bar(total=len(work), desc=label, unit="run") as bar:
        jobs = {pool.submit(one, job): job for job in work}
        failed = []
        try:
            for job in as_completed(jobs):
                if (reason := job.result()) is not None:
                    failed.append(f"{_described(jobs[job])}: {reason}")
                bar.update()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in started:
                if process.poll() is None:
                    process.send_signal(signal.SIGTERM)
            raise
    if failed:
        raise AgentError(f"{label}: {len(failed)} of {len(work)} failed, first {failed[0]}")


def _described(job: str) -> str:
    """A job in words; values are those of the texts of several cells, of which the first is named."""
    fields = json.loads(job)
    cell = fields.get("cell") or (fields.get("cells") or [fields])[0]
    measure = fields.get("measure")
    where = f" under {measure['retriever']} ({measure['candidates']})" if measure else ""
    return f"{fields['what']} of {cell['method']}, {cell['task']}, seed {cell['seed']}{where}"

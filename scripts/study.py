"""What credit assignment buys: learning curves of several learners from the same warm starts, with intervals.

Every cell (environment, method, learning rate, seed) is trained in a process of its own, pinned to one thread, and
leaves one JSON file. Run it again after an interruption: finished cells are kept. Learning rates are chosen for each
method on the validation split with seeds of their own; the reported seeds and the test split are touched afterwards.
"""

import json
import os
import subprocess
import sys
from argparse import Namespace
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
from _cli import Parser, run
from _study_tables import mean_interval, rollouts_to_reach, speed_up
from tqdm import tqdm

from agents import AgentError

METHODS: dict[str, dict[str, Any]] = {
    "grpo": {"algo": "grpo"},
    "ospo": {"algo": "ospo"},
    "ospo-myerson": {"algo": "ospo", "solution": "myerson"},
    "ospo-leave-one-out": {"algo": "ospo", "solution": "leave_one_out"},
    "ospo-signed": {"algo": "ospo", "redistribution": "signed"},
    "ospo-separators": {"algo": "ospo", "credit_separators": True},
    "paper": {
        "algo": "ospo",
        "solution": "contiguous",
        "redistribution": "prop",
        "redistribution_settings": {"scaling": "minmax"},
        "credit_separators": True,
    },
}
ENVIRONMENTS = ("OSPO-ESCI-v0", "OSPO-HM-v0")
SELECTION_SEED = 1000  # seeds from here on choose learning rates and are not reported


def parse(argv: Sequence[str] | None) -> Namespace:
    """The arguments."""
    parser = Parser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/study"), help="directory of the cells")
    parser.add_argument("--quick", action="store_true", help="two seeds, few steps, shopping only: to see it move")
    parser.add_argument("--environments", nargs="+", default=list(ENVIRONMENTS), choices=ENVIRONMENTS)
    parser.add_argument("--methods", nargs="+", default=["grpo", "ospo", "paper"], choices=sorted(METHODS))
    parser.add_argument("--seeds", type=int, default=10, help="seeds to report")
    parser.add_argument("--steps", type=int, default=200, help="optimiser steps of 64 rollouts")
    parser.add_argument("--every", type=int, default=25, help="steps between evaluations")
    parser.add_argument("--learning-rates", nargs="+", type=float, default=[1e-4, 3e-4, 6e-4], help="to choose from")
    parser.add_argument("--selection-seeds", type=int, default=2, help="seeds for that choice; 0 takes the middle one")
    parser.add_argument("--unseen", nargs="+", default=["lsa"], help="retrievers that training does not see")
    parser.add_argument("--processes", type=int, default=2, help="cells trained at once, one thread each")
    parser.add_argument("--cell", help="used by the program itself: train this one cell, given as JSON")
    arguments = parser.parse_args(argv)
    for name in ("seeds", "steps", "every", "processes"):
        if getattr(arguments, name) < 1:
            raise AgentError(f"--{name}: expected at least 1, got {getattr(arguments, name)}")
    if arguments.steps % arguments.every:
        raise AgentError(f"--every: expected a divisor of --steps {arguments.steps}, got {arguments.every}")
    if arguments.quick:
        arguments.environments, arguments.methods = ["OSPO-ESCI-v0"], ["grpo", "ospo"]
        arguments.seeds, arguments.steps, arguments.every, arguments.selection_seeds = 2, 50, 25, 0
    return arguments


def main(argv: Sequence[str] | None) -> None:
    """Train what is missing, print the tables."""
    arguments = parse(argv)
    if arguments.cell is not None:
        _work(json.loads(arguments.cell), arguments.out)
        return
    rates = _choose_rates(arguments)
    cells = [
        _cell(arguments, env, method, rates[env, method], seed, "test")
        for seed in range(arguments.seeds)
        for env in arguments.environments
        for method in arguments.methods
    ]
    _train(arguments, cells, "study")
    for env in arguments.environments:
        _print_environment(arguments, env, {method: rates[env, method] for method in arguments.methods}, cells)


def _cell(arguments: Namespace, env: str, method: str, rate: float, seed: int, split: str) -> dict[str, Any]:
    return {
        "env": env,
        "method": method,
        "settings": {**METHODS[method], "learning_rate": rate},
        "seed": seed,
        "steps": arguments.steps,
        "every": arguments.every,
        "split": split,
        "unseen": list(arguments.unseen),
    }


def _choose_rates(arguments: Namespace) -> dict[tuple[str, str], float]:
    """The learning rate of each environment and method: the best final sampled value on validation queries."""
    pairs = [(env, method) for env in arguments.environments for method in arguments.methods]
    middle = sorted(arguments.learning_rates)[len(arguments.learning_rates) // 2]
    if not arguments.selection_seeds:
        return dict.fromkeys(pairs, middle)
    cells = [
        _cell(arguments, env, method, rate, SELECTION_SEED + number, "validation")
        for number in range(arguments.selection_seeds)
        for env, method in pairs
        for rate in arguments.learning_rates
    ]
    _train(arguments, cells, "learning rates")
    final: dict[tuple[str, str, float], list[float]] = {}
    for cell in cells:
        value = _read(arguments.out, cell)["curve"][-1]["sampled"]
        final.setdefault((cell["env"], cell["method"], cell["settings"]["learning_rate"]), []).append(value)
    return {
        (env, method): max(arguments.learning_rates, key=lambda rate: float(np.mean(final[env, method, rate])))
        for env, method in pairs
    }


def _path(out: Path, cell: dict[str, Any]) -> Path:
    rate = cell["settings"]["learning_rate"]
    name = f"{cell['method']}-lr{rate:g}-seed{cell['seed']}-steps{cell['steps']}-{cell['split']}.json"
    return out / "cells" / cell["env"] / name


def _warm_path(out: Path, cell: dict[str, Any]) -> Path:
    return out / "warm" / f"{cell['env']}-seed{cell['seed']}"


def _read(out: Path, cell: dict[str, Any]) -> dict[str, Any]:
    report = json.loads(_path(out, cell).read_bytes())
    if any(report.get(name) != value for name, value in cell.items()):
        raise AgentError(f"{_path(out, cell)} is of another study; choose another --out, or remove it")
    return dict(report)


def _work(cell: dict[str, Any], out: Path) -> None:
    from _study_cells import run_cell, warm_start_cell

    if cell.get("warm_start"):
        warm_start_cell(cell, _warm_path(out, cell))
    else:
        run_cell(cell, _warm_path(out, cell), _path(out, cell))


def _train(arguments: Namespace, cells: Iterable[dict[str, Any]], label: str) -> None:
    """Train the cells that are missing: first the warm starts they need, then the cells."""
    missing = [cell for cell in cells if not _path(arguments.out, cell).is_file()]
    needed = {
        _warm_path(arguments.out, cell): {**cell, "settings": {}, "warm_start": True}
        for cell in missing
        if not _warm_path(arguments.out, cell).is_dir()
    }
    _run_all(arguments, list(needed.values()), "warm starts")
    _run_all(arguments, missing, label)


def _run_all(arguments: Namespace, cells: list[dict[str, Any]], label: str) -> None:
    if not cells:
        return
    program = [sys.executable, __file__, "--out", str(arguments.out), "--cell"]
    alone = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_DISABLE_TELEMETRY": "1"}
    environment = {**os.environ, **alone}
    with ThreadPoolExecutor(arguments.processes) as pool, tqdm(total=len(cells), desc=label) as bar:
        jobs = {
            pool.submit(
                subprocess.run, [*program, json.dumps(cell)], capture_output=True, text=True, env=environment
            ): cell
            for cell in cells
        }
        for job in as_completed(jobs):
            done = job.result()
            if done.returncode:
                pool.shutdown(cancel_futures=True)
                reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
                raise AgentError(f"a cell failed ({json.dumps(jobs[job])}): {reason}")
            bar.update()


def _print_environment(
    arguments: Namespace, env: str, rates: dict[str, float], cells: Sequence[dict[str, Any]]
) -> None:
    reports = {
        method: [_read(arguments.out, cell) for cell in cells if (cell["env"], cell["method"]) == (env, method)]
        for method in arguments.methods
    }
    columns = ["greedy", "sampled", *(f"{name}/greedy" for name in arguments.unseen)]
    print(f"\n{env}, {arguments.seeds} seeds, trained on bm25, test split, nDCG@10: mean [95 % interval over seeds]")
    warm = [report["curve"][0] for report in next(iter(reports.values()))]
    _print_row("policy", "rate", columns)
    _print_row("warm start", "", [str(mean_interval([point[name] for point in warm])) for name in columns])
    for method, rows in reports.items():
        final = [row["curve"][-1] for row in rows]
        values = [str(mean_interval([point[name] for point in final])) for name in columns]
        _print_row(method, f"{rates[method]:g}", values)
    if "grpo" in reports:
        _print_against_grpo(arguments, reports, columns)


def _print_against_grpo(arguments: Namespace, reports: dict[str, list[dict[str, Any]]], columns: Sequence[str]) -> None:
    curves = {
        method: np.array([[point["sampled"] for point in row["curve"]] for row in rows])
        for method, rows in reports.items()
    }
    rollouts = np.array([point["rollouts"] for point in reports["grpo"][0]["curve"]])
    level = float(curves["grpo"][:, -1].mean())
    print(f"\nAgainst grpo: paired differences of final values; rollouts until grpo's final sampled mean {level:.3f}")
    print("(share of grpo's rollouts, 95 % interval over seeds); gain on unseen retrievers over gain in distribution")
    _print_row("method", "", [*columns, "rollouts", "share", "unseen/seen"])
    for method, rows in reports.items():
        if method == "grpo":
            continue
        pairs = list(zip(rows, reports["grpo"], strict=True))
        values = [
            str(mean_interval([ours["curve"][-1][name] - theirs["curve"][-1][name] for ours, theirs in pairs]))
            for name in columns
        ]
        reached = rollouts_to_reach(rollouts, curves[method].mean(axis=0), level)
        share = speed_up(rollouts, curves[method], curves["grpo"])
        _print_row(method, "", [*values, f"{reached:,.0f}", str(share), f"{_transfer(rows, arguments.unseen):.2f}"])
    if "ospo" in reports:
        print(f"unseen/seen of grpo: {_transfer(reports['grpo'], arguments.unseen):.2f}")


def _transfer(rows: Sequence[dict[str, Any]], unseen: Sequence[str]) -> float:
    """Mean gain over the warm start under unseen retrievers, over that under the training retriever; greedy."""

    def gain(name: str) -> float:
        return float(np.mean([row["curve"][-1][name] - row["curve"][0][name] for row in rows]))

    return float(np.mean([gain(f"{name}/greedy") for name in unseen])) / gain("greedy")


def _print_row(name: str, rate: str, values: Sequence[str]) -> None:
    print("  ".join([f"{name:<20}", f"{rate:>6}", *(f"{value:>22}" for value in values)]))


if __name__ == "__main__":
    run(main)

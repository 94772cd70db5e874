"""One cell of the study, in a process of its own: a warm start, or a training run from one, evaluated on the way."""

import dataclasses
import json
import shutil
import tempfile
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PrinterCallback, TrainerCallback

from envs_data.files import write_atomically
from ospo_agents.policies.language_model import LanguageModelPolicy, load_policy
from ospo_agents.training.progress import quiet
from ospo_agents.training.stages import make_policy, make_trainer, warm_policy
from ospo_cli._arguments import parse
from ospo_cli._study.plan import METRIC, TASKS, TRAINED_ON, Cell
from ospo_cli._tasks import open_task

__all__ = ["open_cell", "run_cell", "warm_start_cell"]

SAMPLES = 2  # rewrites sampled for each query at an evaluation
_KEPT = ("completions/mean_length", "entropy", "segments", "credit_spread")


def warm_start_cell(cell: Cell, path: Path) -> None:
    """Make and save the policy that all methods of this task and seed start from; the directory is whole or absent."""
    quiet()
    arguments = _arguments(cell, settings={})
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as scratch:
        made = Path(scratch) / "policy"
        task = open_cell(cell)
        warm_policy(arguments, task, *make_policy(arguments, task), made)
        shutil.rmtree(path, ignore_errors=True)
        made.rename(path)


def run_cell(cell: Cell, warm: Path, path: Path) -> None:
    """Train from the warm start and write curve, logs and the rewrites before and after, all of it or nothing.

    Args:
        cell: What to train.
        warm: Directory of the policy to start from.
        path: JSON file to write: the cell's own fields, ``curve`` (a point each evaluation), ``log`` (a value each
            step), ``ids``, and of the first and the last evaluation ``rewrites`` (greedy ones) and
            ``sampled_rewrites`` (a list a draw).
    """
    quiet()
    arguments = _arguments(cell, cell.settings)
    task = open_cell(cell)
    model, tokenizer, prompt_format = load_policy(warm)
    ids, prompts = task.prompts(cell.split)
    curve: list[dict[str, float]] = []
    rewrites: dict[str, list[str]] = {}
    sampled_rewrites: dict[str, list[list[str]]] = {}

    def texts(temperature: float, seed: int = 0) -> list[str]:
        policy = LanguageModelPolicy(
            model, tokenizer, prompt_format, temperature=temperature, seed=seed, batch_size=len(prompts)
        )
        return policy(ids, prompts)

    def evaluate(step: int) -> None:
        when = "after" if step else "before"
        rewrites[when] = greedy = texts(0.0)
        sampled_rewrites[when] = sampled = [texts(arguments.temperature, seed) for seed in range(1, 1 + SAMPLES)]
        point = {
            "rollouts": float(step * arguments.batch_size),
            "greedy": float(task.rewards(ids, greedy).mean()),
            "sampled": float(np.mean([task.rewards(ids, drawn).mean() for drawn in sampled])),
        }
        curve.append(point)

    class Evaluation(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step % cell.every == 0:
                evaluate(state.global_step)

    evaluate(0)
    with tempfile.TemporaryDirectory(prefix="ospo-") as scratch:
        trainer = make_trainer(arguments, task, model, tokenizer, prompt_format, Path(scratch))
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(Evaluation())
        trainer.train()
    logged = [row for row in trainer.state.log_history if "reward" in row]
    report = {
        **dataclasses.asdict(cell),
        "curve": curve,
        "log": {name: [row[name] for row in logged] for name in _KEPT if name in logged[0]},
        "ids": list(ids),
        "rewrites": rewrites,
        "sampled_rewrites": sampled_rewrites,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(report).encode())


def open_cell(cell: Cell, retriever: str = TRAINED_ON) -> Any:
    """The task of a cell under a retriever."""
    data = None if cell.data is None else Path(cell.data)
    return open_task(TASKS[cell.task].env, data, split="train", retriever=retriever, metric=METRIC)


def _arguments(cell: Cell, settings: Any) -> Namespace:
    """The arguments that train.py would have."""
    task = TASKS[cell.task]
    unused = str(Path(tempfile.gettempdir()) / "ospo-study-unused")
    given = ["--env", task.env, "--out", unused, "--seed", str(cell.seed), "--steps", str(cell.steps)]
    given += ["--warm-start-epochs", str(task.warm_start_epochs)]
    given += ["--retriever", TRAINED_ON, "--metric", METRIC]
    if cell.data:
        given += ["--data", cell.data]
    for name, value in settings.items():
        option = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            given.append(option if value else f"--no-{name.replace('_', '-')}")
        else:
            given += [option, value if isinstance(value, str) else json.dumps(value)]
    return parse(given)

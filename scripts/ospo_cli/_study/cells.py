"""One cell of the study, in a process of its own: a warm start, or a training run from one, evaluated on the way."""

import dataclasses
import gzip
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PrinterCallback, TrainerCallback

from envs_data.files import write_atomically
from ospo_agents.policies.language_model import LanguageModelPolicy, load_policy
from ospo_agents.training.progress import quiet
from ospo_agents.training.settings import TrainingSettings
from ospo_agents.training.stages import make_policy, warm_policy
from ospo_agents.training.trainers import make_trainer
from ospo_agents.training.trl_parts import Start
from ospo_cli._study.plan import METRIC, TASKS, TRAINED_ON, Cell
from ospo_cli._task_settings import TaskSettings
from ospo_env import RetrievalTask

__all__ = ["cell_settings", "open_cell", "run_cell", "train_policy", "warm_start_cell", "write_report"]

SAMPLES = 2  # rewrites sampled for each query at an evaluation
_KEPT = ("completions/mean_length", "entropy", "segments", "credit_spread")


def warm_start_cell(cell: Cell, path: Path) -> None:
    """Make and save the policy that all methods of this task and seed start from; the directory is whole or absent."""
    quiet()
    settings = cell_settings(cell, {})
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as scratch:
        made = Path(scratch) / "policy"
        warm_policy(settings, make_policy(settings, open_cell(cell)), made)
        shutil.rmtree(path, ignore_errors=True)
        made.rename(path)


def run_cell(cell: Cell, warm: Path, path: Path) -> None:
    """Train from the warm start and write curve, logs and the rewrites before and after, all of it or nothing.

    Args:
        cell: Cell to train.
        warm: Directory of the policy to start from.
        path: Compressed JSON file to write: the cell's own fields, ``curve`` (a point each evaluation), ``log`` (a
            value each step), ``ids``, and of the first and the last evaluation ``rewrites`` (greedy ones) and
            ``sampled_rewrites`` (a list a draw).
    """
    quiet()
    settings = cell_settings(cell, cell.settings)
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
        sampled_rewrites[when] = sampled = [texts(1.0, seed) for seed in range(1, 1 + SAMPLES)]
        point = {
            "rollouts": float(step * settings.batch_size),
            "greedy": float(task.rewards(ids, greedy).mean()),
            "sampled": float(np.mean([task.rewards(ids, drawn).mean() for drawn in sampled])),
        }
        curve.append(point)

    class Evaluation(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step % cell.every == 0:
                evaluate(state.global_step)

    evaluate(0)
    history = train_policy(settings, Start(task, model, tokenizer, prompt_format), Evaluation())
    logged = [row for row in history if "reward" in row]
    report = {
        **dataclasses.asdict(cell),
        "curve": curve,
        "log": {name: [row[name] for row in logged] for name in _KEPT if name in logged[0]},
        "ids": list(ids),
        "rewrites": rewrites,
        "sampled_rewrites": sampled_rewrites,
    }
    write_report(path, report)


def train_policy(settings: TrainingSettings, start: Start, *callbacks: TrainerCallback) -> list[dict[str, Any]]:
    """Train the policy of a start in place; nothing is kept on disk. Returns what was logged, a row a step."""
    with tempfile.TemporaryDirectory(prefix="ospo-") as scratch:
        trainer = make_trainer(settings, start, Path(scratch))
        trainer.remove_callback(PrinterCallback)
        for callback in callbacks:
            trainer.add_callback(callback)
        trainer.train()
    history: list[dict[str, Any]] = trainer.state.log_history
    return history


def write_report(path: Path, report: Mapping[str, Any]) -> None:
    """Write a cell's report as compressed JSON, the same bytes for the same report; all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, gzip.compress(json.dumps(report).encode(), mtime=0))


def open_cell(cell: Cell, retriever: str = TRAINED_ON) -> RetrievalTask:
    """The task of a cell under a retriever."""
    env = TASKS[cell.task].env
    return TaskSettings(env=env, data=cell.data, retriever=retriever, metric=METRIC, **cell.modes).open()


def cell_settings(cell: Cell, settings: Mapping[str, Any]) -> TrainingSettings:
    """The settings of a cell's training run, checked."""
    whole = TrainingSettings(
        seed=cell.seed,
        steps=max(cell.steps, 1),  # a cell of the warm start itself has none
        warm_start_epochs=TASKS[cell.task].warm_start_epochs,
        **settings,
    )
    whole.check()
    return whole

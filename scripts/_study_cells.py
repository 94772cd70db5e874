"""One cell of the study: a warm start, or one training run from it with evaluations on the way."""

import json
import tempfile
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
from _arguments import parse
from _cli import open_task
from _progress import quiet
from _training import make_policy, make_trainer, warm_policy
from transformers import PrinterCallback, TrainerCallback

from agents.lm_policy import LanguageModelPolicy, load_policy
from envs_data.prepared import write_atomically

__all__ = ["run_cell", "warm_start_cell"]

METRIC = "nDCG@10"
WARM_START_EPOCHS = {"OSPO-ESCI-v0": 8, "OSPO-HM-v0": 4}
SAMPLES = 2  # rewrites sampled for each query at an evaluation


def _arguments(cell: dict[str, Any]) -> Namespace:
    """The arguments that train.py would have."""
    out = str(Path(tempfile.gettempdir()) / "ospo-study-unused")
    given = ["--env", cell["env"], "--out", out, "--seed", str(cell["seed"]), "--steps", str(cell["steps"])]
    given += ["--warm-start-epochs", str(WARM_START_EPOCHS[cell["env"]])]
    if cell.get("data"):
        given += ["--data", cell["data"]]
    for name, value in cell.get("settings", {}).items():
        given += [f"--{name.replace('_', '-')}", value if isinstance(value, str) else json.dumps(value)]
    return parse(given)


def warm_start_cell(cell: dict[str, Any], path: Path) -> None:
    """Make and save the policy that all methods of this environment and seed start from."""
    quiet()
    arguments = _arguments(cell)
    task = open_task(cell["env"], arguments.data, split="train", retriever="bm25", metric=METRIC)
    warm_policy(arguments, task, *make_policy(arguments, task), path)


def run_cell(cell: dict[str, Any], warm: Path, path: Path) -> None:
    """Train from the warm start and write the curve and the final evaluations as JSON, all of it or nothing."""
    quiet()
    arguments = _arguments(cell)
    data = arguments.data
    task = open_task(cell["env"], data, split="train", retriever="bm25", metric=METRIC)
    unseen = {
        name: open_task(cell["env"], data, split="train", retriever=name, metric=METRIC) for name in cell["unseen"]
    }
    model, tokenizer, prompt_format = load_policy(warm)
    ids, prompts = task.prompts(cell["split"])
    curve: list[dict[str, float]] = []

    def texts(temperature: float, seed: int = 0) -> list[str]:
        policy = LanguageModelPolicy(
            model, tokenizer, prompt_format, temperature=temperature, seed=seed, batch_size=len(prompts)
        )
        return policy(ids, prompts)

    def evaluate(step: int) -> None:
        greedy = texts(0.0)
        sampled = [texts(arguments.temperature, seed) for seed in range(1, 1 + SAMPLES)]
        point = {"rollouts": float(step * arguments.batch_size)}
        for name, judge in {"": task, **unseen}.items():
            prefix = f"{name}/" if name else ""
            point[f"{prefix}greedy"] = float(judge.rewards(ids, greedy).mean())
            point[f"{prefix}sampled"] = float(np.mean([judge.rewards(ids, drawn).mean() for drawn in sampled]))
        curve.append(point)

    class Evaluation(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step % cell["every"] == 0:
                evaluate(state.global_step)

    evaluate(0)
    with tempfile.TemporaryDirectory(prefix="ospo-") as scratch:
        trainer = make_trainer(arguments, task, model, tokenizer, prompt_format, Path(scratch))
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(Evaluation())
        trainer.train()
    logged = [row for row in trainer.state.log_history if "reward" in row]
    kept = ("completions/mean_length", "entropy", "segments", "credit_spread")
    report = {
        **cell,
        "curve": curve,
        "evaluations": dict(task.counters),
        "log": {name: [row[name] for row in logged] for name in kept if name in logged[0]},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(report).encode())

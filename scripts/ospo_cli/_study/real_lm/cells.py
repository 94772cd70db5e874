"""One job of this part, in a process of its own: a warm start, the texts of one method, or the values of texts."""

import dataclasses
import gzip
import json
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from ospo_agents import AgentError
from ospo_agents.policies.language_model import LanguageModelPolicy, load_policy, on_accelerator, save_policy
from ospo_agents.training.evaluation import validation_rows
from ospo_agents.training.progress import quiet
from ospo_agents.training.settings import TrainingSettings
from ospo_agents.training.stages import make_policy, warm_policy
from ospo_agents.training.trl_parts import Start
from ospo_cli._reward_settings import RewardSettings
from ospo_cli._study.cells import train_policy, write_report
from ospo_cli._study.plan import METRIC
from ospo_cli._study.real_lm.plan import (
    DATA_SETS,
    REFERENCES,
    SAMPLES,
    SHARED,
    TRAINED_ON,
    LMCell,
    learner_settings,
)
from ospo_cli._task_settings import TaskSettings
from ospo_env import ContrastTask, RetrievalTask, make_reference_policy

__all__ = ["make_warm_start", "read_texts", "write_scores", "write_texts"]

_KEPT = (
    "reward",
    "entropy",
    "completions/mean_length",
    "segments",
    "distinct_rewrites",
    "empty_rewrites",
    "unknown_words",
)
_ASKED = (
    "You help a search engine. Answer the user's query with a few more words that documents about it contain, "
    "separated by spaces. Write the words only: no sentence, no explanation."
)
"""Instruction of the model before it has learned anything; a model of this size writes no tags around its answer."""
_VALIDATION_PROMPTS = 96
_VALIDATIONS = 6


def make_warm_start(cell: LMCell, out: Path) -> None:
    """Fit the language model to the demonstrations and save it; the directory is whole or absent."""
    quiet()
    path = cell.warm_path(out)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as scratch:
        made = Path(scratch) / "policy"
        # Demonstrations are few and short: one part, whose weights are cast once.
        settings = _settings(cell, {"algo": "grpo", "gradient_accumulation": 1})
        task = _open(cell)
        _check_demonstrations(cell, task)
        warm_policy(settings, make_policy(settings, task), made)
        shutil.rmtree(path, ignore_errors=True)
        made.rename(path)


def write_texts(cell: LMCell, out: Path, *, keep: bool = False) -> None:
    """Make the texts of a method and write them, all or nothing.

    The file holds the cell's own fields, ``ids``, ``greedy`` (a text a query), ``sampled`` (a list a draw; none for
    references), ``seconds``, after a warm start ``start`` (its settings and the reward's), and of a training run
    ``curve`` (values of validation prompts), ``best_step`` and ``log``.

    Args:
        cell: The cell.
        out: Directory of the study.
        keep: Whether the policy of a training run is saved too, in :meth:`LMCell.policy_path`.
    """
    quiet()
    task = _open(cell)
    ids, prompts = _queries(cell, task)
    report: dict[str, Any] = {**asdict(cell), "modes": DATA_SETS[cell.task].modes, "ids": list(ids), "sampled": []}
    if cell.warmed:
        report["start"] = cell.start
    begin = time.monotonic()
    if cell.method in REFERENCES:
        report["greedy"] = make_reference_policy(cell.method, task)(ids, prompts)
    elif cell.method == "zero-shot":
        assert cell.policy is not None
        model, tokenizer, prompt_format = on_accelerator(*load_policy(cell.policy, bf16=True))
        asked = dataclasses.replace(prompt_format, instruction=_ASKED, answer_tags=False)
        report |= _write((model, tokenizer, asked), ids, prompts)
    elif cell.method == "warm-start":
        report |= _write(on_accelerator(*load_policy(cell.warm_path(out))), ids, prompts)
    elif cell.trained_on is not None:
        report |= _write(on_accelerator(*load_policy(cell.policy_path(out))), ids, prompts)
    else:
        policy = on_accelerator(*load_policy(cell.warm_path(out)))
        report |= _learn(cell, task, policy)
        if keep:
            cell.policy_path(out).parent.mkdir(parents=True, exist_ok=True)
            save_policy(cell.policy_path(out), *policy)
        report |= _write(policy, ids, prompts)
    write_report(cell.path(out), {**report, "seconds": round(time.monotonic() - begin, 1)})


def _learn(cell: LMCell, task: RetrievalTask, policy: tuple[Any, Any, Any]) -> dict[str, Any]:
    """Train a policy in place, measuring validation prompts on the way, and leave it as it was at its best.

    The best, of the warm start too, is chosen by the mean of greedy and sampled values, the same way for all methods;
    values are means over the retrievers of the reward.
    """
    settings = _settings(cell, cell.settings)
    about = DATA_SETS[cell.task]
    measured = RewardSettings(reward_retrievers=about.reward_retrievers).open(task, TRAINED_ON, cell.seed)
    validation = validation_rows(task, min(cell.queries // 2 or _VALIDATION_PROMPTS, _VALIDATION_PROMPTS))
    curve: list[dict[str, float]] = []
    begin = time.monotonic()

    best: dict[str, Any] = {}

    def measure(step: int) -> None:
        texts = _write(policy, *validation, samples=1)
        values = {
            "greedy": float(measured.rewards(validation[0], texts["greedy"]).mean()),
            "sampled": float(measured.rewards(validation[0], texts["sampled"][0]).mean()),
        }
        curve.append({"rollouts": float(step * settings.batch_size), "seconds": time.monotonic() - begin, **values})
        value = values["greedy"] + values["sampled"]
        if not best or value > best["value"]:
            weights = {name: tensor.clone() for name, tensor in policy[0].state_dict().items()}
            best.update(value=value, step=step, weights=weights)

    class Validation(TrainerCallback):  # type: ignore[misc]  # transformers' types are skipped
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step % max(cell.steps // _VALIDATIONS, 1) == 0:
                measure(state.global_step)

    measure(0)
    rewarding = ContrastTask(measured, about.contrast, cell.seed) if about.contrast else measured
    history = train_policy(settings, Start(rewarding, *policy), Validation())
    logged = [row for row in history if "reward" in row]
    log = {name: [row[name] for row in logged] for name in _KEPT if name in logged[0]}
    seconds = round(time.monotonic() - begin, 1)
    policy[0].load_state_dict(best["weights"])
    return {"training_seconds": seconds, "best_step": best["step"], "curve": curve, "log": log}


def _write(
    policy: tuple[Any, Any, Any],
    ids: Sequence[str],
    prompts: Sequence[str],
    samples: int = SAMPLES,
) -> dict[str, Any]:
    """Greedy and sampled texts of some prompts."""
    tokens = int(SHARED["max_completion_length"])

    def texts(**settings: Any) -> list[str]:
        return LanguageModelPolicy(*policy, max_new_tokens=tokens, bf16=True, **settings)(ids, prompts)

    return {"greedy": texts(), "sampled": [texts(temperature=1.0, seed=seed) for seed in range(1, 1 + samples)]}


def write_scores(cell: LMCell, out: Path, path: Path, task: RetrievalTask) -> None:
    """Measure the texts of a finished cell on a task and write the values: ``greedy`` (Q,) and ``sampled`` (K, Q)."""
    texts = read_texts(cell, out)
    values = {
        "greedy": task.evaluate(texts["ids"], texts["greedy"])[METRIC].tolist(),
        "sampled": [task.evaluate(texts["ids"], drawn)[METRIC].tolist() for drawn in texts["sampled"]],
    }
    write_report(path, values)


def read_texts(cell: LMCell, out: Path) -> dict[str, Any]:
    """Read what :func:`write_texts` wrote.

    Raises:
        AgentError: The texts are those of a policy with another warm start, or of another reward.
    """
    path = cell.path(out)
    report: dict[str, Any] = json.loads(gzip.decompress(path.read_bytes()))
    if cell.warmed and report.get("start") != cell.start:
        raise AgentError(f"{path}: expected start {cell.start}, got {report.get('start')}; remove it or change --out")
    return report


def _check_demonstrations(cell: LMCell, task: RetrievalTask) -> None:
    """Raise :class:`AgentError` unless the data hold demonstrations of the kind of this part."""
    kind, expected = task.data.demonstration_kind, DATA_SETS[cell.task].demonstrations
    if kind != expected:
        raise AgentError(
            f"--data {cell.task}={cell.data}: expected demonstrations of the kind {expected}, got {kind}; prepare the "
            f"data with --demonstrations {expected}"
        )


def _queries(cell: LMCell, task: RetrievalTask) -> tuple[list[str], list[str]]:
    ids, prompts = task.prompts(cell.split)
    return ids[: cell.queries or None], prompts[: cell.queries or None]


def _open(cell: LMCell) -> RetrievalTask:
    about = DATA_SETS[cell.task]
    settings = TaskSettings(env=about.env, data=cell.data, retriever=TRAINED_ON, metric=METRIC, **about.modes)
    return settings.open()


def _settings(cell: LMCell, own: Mapping[str, Any]) -> TrainingSettings:
    """The settings of a training run, checked."""
    about = DATA_SETS[cell.task]
    settings = TrainingSettings(
        policy=cell.policy,
        seed=cell.seed,
        steps=max(cell.steps, 1),
        warm_start_epochs=cell.epochs,
        warm_start_learning_rate=about.warm_start_learning_rate,
        **{**SHARED, **learner_settings(cell.task, own)},
    )
    settings.check()
    return settings

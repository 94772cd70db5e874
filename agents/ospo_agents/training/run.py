"""A whole training run: checks, the run directory, both stages, and going on with a run that was interrupted."""

import contextlib
import os
import platform
import shutil
import warnings
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ospo_agents.errors import AgentError
from ospo_agents.protocols import Task
from ospo_agents.training.lock import training_lock
from ospo_agents.training.processes import is_first, part, processes, wait
from ospo_agents.training.run_directory import (
    BEST,
    CHECKPOINTS,
    CLEARING,
    SCRATCH,
    Progress,
    check_out,
    find_progress,
    has_warm_start,
    prepare_out,
    read_run,
    tidy,
    write_run,
)
from ospo_agents.training.settings import TrainingSettings

__all__ = ["changed_arguments", "run_record", "train"]

MAY_CHANGE = ("out", "overwrite", "resume", "save_steps")
"""Arguments that a resumed run may have other values of."""

_PACKAGES = ("ospo", "torch", "transformers", "trl", "peft", "accelerate", "gymnasium", "numpy")


def train(
    settings: TrainingSettings,
    task: Task,
    out: str | Path,
    *,
    metric: str = "reward",
    title: str | None = None,
    record: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    resume: bool = False,
    warn: Callable[[str], object] = warnings.warn,
) -> dict[str, Any]:
    """Train a policy on a task, or go on training, and write the run directory.

    Args:
        settings: Settings of the run.
        task: Source of prompts, demonstrations, rewards and coalition values.
        out: Run directory to write: ``warmstart/`` (the policy before the learner), ``policy/`` (after it),
            ``log.jsonl`` (one line a step), ``curves.png``, ``run.json``; for DPO also ``pairs.jsonl``.
        metric: Name of the metric that is the reward, for log and curves.
        title: Title of the curves; None takes learner and seed.
        record: Content of ``run.json`` beside the status and the costs of the run; None takes :func:`run_record`.
        overwrite: Whether to replace an earlier run in ``out``.
        resume: Whether to go on with the unfinished run in ``out``.
        warn: Function that is told when a resumed run was started with other versions of packages.

    Returns:
        The content of ``run.json``.

    Raises:
        AgentError: A setting is wrong, ``out`` holds something that may not be replaced, another process is training
            into it, or the run to resume is damaged or was started with other settings, other data or another number
            of processes.
    """
    out = Path(out)
    settings.check()
    settings = settings.for_task(task)
    _check_prompts(settings, len(task.prompts("train")[0]))
    record = run_record(settings.as_json()) if record is None else record
    with training_lock(out) if is_first() else contextlib.nullcontext():
        earlier = _earlier(out, resume=resume, overwrite=overwrite)
        if earlier is not None and earlier.get("status") == "finished":
            return earlier
        if earlier is not None:
            _check_same(out, earlier, record, warn)
            record = {**record, **{name: earlier[name] for name in ("command",) if name in earlier}}
        spent = _train(settings, task, out, earlier, record, metric=metric, title=title)
        manifest = {"status": "finished", **spent, **record}
        if is_first():
            write_run(out, manifest)
            _clear(out, checkpoints="save_total_limit" not in settings.trl)
        part()
    return manifest


def _train(
    settings: TrainingSettings,
    task: Task,
    out: Path,
    earlier: Mapping[str, Any] | None,
    record: Mapping[str, Any],
    *,
    metric: str,
    title: str | None,
) -> dict[str, Any]:
    """Run both stages, from the start or from where an earlier process stopped; returns what was spent."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # else TRL reports each trainer that is made
    # Heavy libraries are imported once the task stands, so that bad input is reported at once.
    from ospo_agents.training.evaluation import validation_rows
    from ospo_agents.training.progress import Tally, quiet
    from ospo_agents.training.stages import learn, make_policy, warm_policy
    from ospo_agents.training.trainers import make_config

    quiet()
    make_config(settings, out / CHECKPOINTS)  # which checks what TRL takes, before anything is written
    if settings.eval_steps:
        validation_rows(task, settings.eval_prompts)
    start = None if earlier is not None and has_warm_start(out) else make_policy(settings, task)
    progress = Progress() if earlier is None else find_progress(out)
    if is_first() and earlier is None:
        prepare_out(out, record)
    elif is_first():
        tidy(out, progress)
    wait()
    tally = Tally(lambda: task.counters, progress)
    if start is not None:
        warm_policy(settings, start, out / "warmstart")
        del start  # the learner reads its own
    title = f"{settings.algo}, seed {settings.seed}" if title is None else title
    return learn(settings, task, out, tally, metric=metric, title=title)


def run_record(arguments: Mapping[str, Any], **about: Any) -> dict[str, Any]:
    """Content of ``run.json`` before a run starts.

    Args:
        arguments: The settings, by name.
        **about: Further facts that identify the run, such as the fingerprint of its data.
    """
    versions = {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}}
    return {"arguments": dict(arguments), "processes": processes(), **about, "versions": versions}


def changed_arguments(earlier: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Arguments that may not change when a run goes on, but did: sorted names, each with its value before and now.

    Args:
        earlier: Arguments that ``run.json`` holds; a setting that it does not name yet had its value of then.
        now: Arguments of now.
    """
    before = {**TrainingSettings.recorded(earlier).as_json(), **earlier}
    return {
        name: (value, now.get(name))
        for name, value in sorted(before.items())
        if name not in MAY_CHANGE and now.get(name) != value
    }


def _clear(out: Path, *, checkpoints: bool) -> None:
    """Remove what only going on needs; checkpoints stay where their number was asked for."""
    shutil.rmtree(out / BEST, ignore_errors=True)
    shutil.rmtree(out / CHECKPOINTS / SCRATCH, ignore_errors=True)
    if checkpoints:
        shutil.rmtree(out / CHECKPOINTS)


def _earlier(out: Path, *, resume: bool, overwrite: bool) -> dict[str, Any] | None:
    """Content of ``run.json`` of the run to go on with; None for a new run."""
    if not resume:
        if is_first():
            check_out(out, overwrite)
        return None
    manifest = read_run(out)
    if manifest is None:
        raise AgentError(f"expected a run to resume in {out}, but it holds none, or its run.json is damaged")
    return None if manifest.get("status") == CLEARING else manifest  # killed before it began


def _check_prompts(settings: TrainingSettings, prompts: int) -> None:
    """A step's groups must be of different prompts, where the trainer draws them."""
    groups = settings.batch_size // settings.group_size
    if settings.learner.rollouts == "during" and groups > prompts:
        raise AgentError(
            f"batch_size (--batch-size) {settings.batch_size} with group_size (--group-size) {settings.group_size} "
            f"needs {groups} prompts a step, but the train split has {prompts}; "
            f"use at most {prompts * settings.group_size}"
        )


def _check_same(out: Path, earlier: Mapping[str, Any], now: Mapping[str, Any], warn: Callable[[str], object]) -> None:
    """A run goes on with the settings, the data and the processes that it had; other versions of packages are told."""
    changed = changed_arguments(earlier["arguments"], now["arguments"])
    if changed:
        listed = ", ".join(f"{name} {was} (now {is_now})" for name, (was, is_now) in changed.items())
        raise AgentError(f"{out} was started with {listed}; resume it with the settings that it had")
    for key, what in (("data_fingerprint", "data"), ("processes", "number of processes")):
        if earlier.get(key) != now.get(key):
            raise AgentError(f"{out} was started with another {what} ({earlier.get(key)}, now {now.get(key)})")
    before = earlier.get("versions")
    versions = {
        name: (was, now["versions"].get(name)) for name, was in (before if isinstance(before, dict) else {}).items()
    }
    others = ", ".join(f"{name} {was} (now {is_now})" for name, (was, is_now) in versions.items() if was != is_now)
    if others and is_first():
        warn(f"started with {others}; the result may differ from an uninterrupted run's")

"""Train a rewriting policy on a task: warm start on demonstrations, then OSPO or a baseline."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ospo_agents.training import train
from ospo_agents.training.processes import is_first
from ospo_agents.training.run import run_record
from ospo_agents.training.run_directory import read_run
from ospo_cli._arguments import TrainCommand, parse
from ospo_cli._cli import command_line
from ospo_cli._outputs import check_directory
from ospo_cli._terminal import say, warn

if TYPE_CHECKING:
    from ospo_env import RetrievalTask

__all__ = ["main", "parse"]


def main(argv: Sequence[str] | None) -> None:
    """Train, or go on training, and write the run directory."""
    command = parse(argv)
    out, settings = command.out, command.settings
    if command.resume and (read_run(out) or {}).get("status") == "finished":
        say(f"{out} is finished; nothing to resume")
        return
    check_directory("--out", out)
    task = _open_task(command)
    rewarding = command.reward.open(task, command.task.retriever, settings.seed)
    command = dataclasses.replace(command, settings=settings.for_task(rewarding))
    settings = command.settings
    about = {
        "dataset": task.data.manifest["dataset"],
        "synthetic": task.data.synthetic,
        "data_fingerprint": task.data.fingerprint,
    }
    train(
        settings,
        rewarding,
        out,
        metric=command.task.metric,
        title=f"{settings.algo} on {command.task.env}, {command.retrievers}, seed {settings.seed}",
        record={"command": command_line("train", argv), **run_record(command.recorded(), **about)},
        overwrite=command.overwrite,
        resume=command.resume,
        warn=warn,
    )
    if is_first():
        learner = settings.learner
        pairs = "pairs.jsonl, " if learner.rollouts == "before" else ""
        files = f"policy/ (after {learner.stage}), warmstart/ (before), {pairs}log.jsonl, curves.png, run.json"
        say(f"Wrote {out}: {files}")


def _open_task(command: TrainCommand) -> RetrievalTask:
    from ospo_env import TaskError  # slow to import, and not needed for --help

    try:
        return command.task.open()
    except TaskError as error:
        if command.preset is None or "retriever" not in str(error):
            raise
        asked = f"--preset {command.preset} asks for {command.task.retriever}"
        hint = f"{asked}; another may be named, for example --retriever bm25"
        raise TaskError(f"{error}; {hint}") from error

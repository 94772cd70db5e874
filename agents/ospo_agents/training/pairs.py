"""Rollouts for preference pairs, kept on disk as they come."""

import dataclasses
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ospo_agents.errors import AgentError
from ospo_agents.files import write_atomically
from ospo_agents.progress_bar import progress_bar
from ospo_agents.training.preferences import Preference, sample_preferences
from ospo_agents.training.processes import is_first, wait
from ospo_agents.training.run_directory import read_lines
from ospo_agents.training.settings import TrainingSettings
from ospo_agents.training.trl_parts import Start

__all__ = ["sample_pairs"]


def sample_pairs(settings: TrainingSettings, start: Start, path: Path) -> tuple[list[Preference], Mapping[str, int]]:
    """Draw groups of rollouts of the policy after its warm start: as many rollouts as GRPO would draw in as many steps.

    They are kept in a JSON Lines file, a line for what would be a step's batch; a run that goes on draws only what is
    missing. The first process draws, the others wait for the file.

    Args:
        settings: Settings of the run.
        start: Task and policy.
        path: The file.

    Returns:
        All groups in order, and the task's counters as they stood when this process began.
    """
    groups_at_once = settings.examples
    first, device = is_first(), wait().device
    rows = read_lines(path)
    before: Mapping[str, int] = rows[-1].get("evaluations", {}) if rows else {}
    if first and len(rows) < settings.steps:
        write_atomically(path, b"".join(json.dumps(row).encode() + b"\n" for row in rows))  # no half line
        batches = sample_preferences(
            start.model.to(device),
            start.tokenizer,
            start.task,
            start.prompt_format,
            groups=settings.steps * groups_at_once,
            group_size=settings.group_size,
            groups_at_once=groups_at_once,
            max_new_tokens=settings.max_completion_length,
            temperature=settings.temperature,
            seed=settings.seed,
            start=len(rows),
        )
        bar = progress_bar(batches, total=settings.steps, initial=len(rows), desc="pairs")
        with path.open("a") as stream:
            for batch in bar:
                evaluations = {name: before.get(name, 0) + count for name, count in start.task.counters.items()}
                row = {"groups": [dataclasses.asdict(group) for group in batch], "evaluations": evaluations}
                stream.write(json.dumps(row) + "\n")
                stream.flush()
    while len(read_lines(path)) < settings.steps:  # this may take longer than a barrier has patience
        time.sleep(1)
    return [group for row in read_lines(path) for group in _groups(row, path)], before


def _groups(row: Mapping[str, Any], path: Path) -> list[Preference]:
    """The groups of one line.

    Raises:
        AgentError: The line holds something else.
    """
    try:
        return [Preference(**group) for group in row["groups"]]
    except (LookupError, TypeError) as error:
        raise AgentError(f"{path}: expected groups of rollouts, got {str(row)[:80]}; train again") from error

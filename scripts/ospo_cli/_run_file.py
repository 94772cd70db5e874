"""Checked reading of a run's ``run.json``, which anybody may have written or damaged."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ospo_agents import AgentError
from ospo_agents.training.learners import LEARNERS
from ospo_agents.training.run_directory import read_run
from ospo_cli._modes import MODES, modes_of

__all__ = [
    "OPTIONAL",
    "SETTINGS",
    "check_fields",
    "policy_notes",
    "run_arguments",
    "sampling_temperature",
    "task_settings",
]

SETTINGS = ("max_words", "candidates", "metric", *MODES)
"""Settings of a task that travel with runs and stored rewrites, as the environments name them."""

OPTIONAL: Mapping[str, Any] = {"max_words": int | None, "compose": str, "query_weight": int, "repeats": str}
"""Types of settings of a task that runs of earlier versions do not record."""


def check_fields(
    values: Mapping[str, Any], required: Mapping[str, Any], source: Path, optional: Mapping[str, Any] | None = None
) -> None:
    """Check that a file's fields have the types that a program counts on.

    Args:
        values: The fields by name.
        required: A type, or a union of types, for each field that must be there; whole numbers are no truth values.
        source: The file, for the message.
        optional: Types of fields that may be missing.

    Raises:
        AgentError: A field is missing or of another type.
    """
    for name in required:
        if name not in values:
            raise AgentError(f"{source}: expected a field {name}, and there is none")
    for name, kind in {**required, **(optional or {})}.items():
        if name not in values:
            continue
        value = values[name]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            wanted = getattr(kind, "__name__", str(kind))
            raise AgentError(f"{source}: expected {name} as {wanted}, got {str(value)[:80]!r}")


def policy_notes(where: Path | str) -> dict[str, Any]:
    """Facts about a policy from the run that it lies in: its stage and the retrievers that it was trained on.

    Args:
        where: The policy's directory, or a hub id, which lies in no run.
    """
    arguments = run_arguments(where)
    if arguments is None:
        return {}
    algo = arguments["algo"]
    what = LEARNERS[algo].stage if algo in LEARNERS else "RL"  # agents of Stable-Baselines3 are in another table
    stage = f"{'after' if Path(where).name == 'policy' else 'before'} {what}"
    trained_on = arguments.get("reward_retrievers") or [arguments.get("retriever")]
    return {"stage": stage, "trained_on": None if trained_on[0] is None else ",".join(trained_on)}


def sampling_temperature(where: Path | str) -> float:
    """Temperature at which a policy was sampled in training, from the run that it lies in; 1 if it lies in none."""
    arguments = run_arguments(where)
    temperature = 1.0 if arguments is None else arguments.get("temperature", 1.0)
    if not 0 < temperature < math.inf:
        raise AgentError(f"{Path(where).parent / 'run.json'}: expected a temperature above 0, got {temperature}")
    return float(temperature)


def task_settings(where: Path | str) -> dict[str, Any]:
    """Cap, candidates, metric and modes of the task that a policy was trained on, from the run that it lies in.

    Args:
        where: The policy's directory, or a hub id, which lies in no run.

    Returns:
        Those of :data:`SETTINGS` that the run records, and the modes that a run without them had.
    """
    arguments = run_arguments(where)
    if arguments is None:
        return {}
    settings = {"max_words": arguments.get("max_words"), "metric": arguments.get("metric"), "candidates": "pool"}
    import gymnasium  # slow to import, and not needed for --help

    if settings["max_words"] is None and (spec := gymnasium.registry.get(arguments.get("env", ""))) is not None:
        settings["max_words"] = spec.kwargs.get("max_words")  # the environment's own
    return {name: value for name, value in settings.items() if value is not None} | modes_of(arguments)


def run_arguments(where: Path | str) -> dict[str, Any] | None:
    """The arguments of the run that a policy lies in, those read here checked; ``None`` if it lies in none.

    Args:
        where: The policy's directory, or a hub id, which lies in no run.
    """
    manifest = read_run(where.parent) if isinstance(where, Path) else None
    if manifest is None:
        return None
    source = Path(where).parent / "run.json"
    arguments: dict[str, Any] = manifest["arguments"]
    optional = {"env": str, "retriever": str, "metric": str, "temperature": int | float, **OPTIONAL}
    check_fields(arguments, {"algo": str}, source, {**optional, "reward_retrievers": list | None})
    if not all(isinstance(name, str) for name in arguments.get("reward_retrievers") or ()):
        raise AgentError(f"{source}: expected reward_retrievers as names, got {arguments['reward_retrievers']!r:.80}")
    return arguments

"""Runs of a report, checked to belong together."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ospo_agents import AgentError
from ospo_agents.training import TrainingSettings
from ospo_agents.training.run_directory import METRIC, read_log, read_run
from ospo_cli._modes import MODES
from ospo_cli._reward_settings import RewardSettings
from ospo_cli._run_file import OPTIONAL, check_fields

__all__ = ["Run", "read_runs", "same_settings"]

_NO_SETTING = ("seed", "out", "overwrite", "save_steps", "preset", "data")  # of data the fingerprint counts
_MANIFEST: dict[str, Any] = {
    "data_fingerprint": str,
    "dataset": str,
    "synthetic": bool,
    "processes": int,
    "rollouts": int,
    "evaluations": dict,
    "seconds": float | int,
    "versions": dict,
}
_ARGUMENTS: dict[str, Any] = {
    **dict.fromkeys(("algo", "env", "retriever", "metric"), str),
    **dict.fromkeys(("seed", "steps", "batch_size"), int),
    **dict.fromkeys(("data", "segmenter"), str | None),
}


@dataclass(frozen=True)
class Run:
    """A run directory.

    Attributes:
        path: The directory.
        manifest: Its ``run.json``.
        rows: The rows of its log that are of steps.
    """

    path: Path
    manifest: dict[str, Any]
    rows: list[dict[str, Any]]

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of its training."""
        arguments: dict[str, Any] = self.manifest["arguments"]
        return arguments

    @property
    def trained_on(self) -> list[str]:
        """Names of the retrievers that gave its rewards."""
        return self.arguments.get("reward_retrievers") or [self.arguments["retriever"]]

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments without the seed and the names of files, and with the data's fingerprint.

        A setting that ``run.json`` does not name yet had its default.
        """
        defaults = {**MODES, **RewardSettings().as_json()}
        arguments = {**defaults, **TrainingSettings.recorded(self.arguments).as_json(), **self.arguments}
        kept = {name: value for name, value in sorted(arguments.items()) if name not in _NO_SETTING}
        return {**kept, "data_fingerprint": self.manifest["data_fingerprint"]}


def read_runs(paths: Sequence[Path]) -> list[Run]:
    """Read the runs of some directories; the report is about the first.

    Raises:
        AgentError: A directory holds no finished run, is given twice, or is of another task or reward than the first; a
            field of its ``run.json`` or a value of its log has the wrong type.
    """
    runs: list[Run] = []
    for path in paths:
        manifest = read_run(path)
        if manifest is None or manifest.get("status") != "finished":
            state = "no run" if manifest is None else f"a run that is {manifest.get('status')}"
            raise AgentError(f"--run: expected a finished run of ospo train, but {path} holds {state}")
        if any(path.resolve() == run.path.resolve() for run in runs):
            raise AgentError(f"--run: {path} is given twice")
        runs.append(_checked(Run(path, manifest, [row for row in read_log(path) if "loss" in row])))
        for name in ("env", "metric", *MODES, "contrast", "reward_retrievers", "data_fingerprint"):
            here, first = (run.settings[name] for run in (runs[-1], runs[0]))
            if here != first:
                raise AgentError(f"--run: expected runs of one {name}, but {path} has {here} and {paths[0]} {first}")
    return runs


def _checked(run: Run) -> Run:
    """The run, if its files hold what a page shows."""
    check_fields(run.manifest, _MANIFEST, run.path / "run.json")
    check_fields(
        run.arguments,
        _ARGUMENTS,
        run.path / "run.json",
        {**OPTIONAL, "contrast": int, "reward_retrievers": list | None},
    )
    if not all(isinstance(name, str) for name in run.trained_on):
        raise AgentError(f"{run.path / 'run.json'}: expected reward_retrievers as names, got {run.trained_on!r:.80}")
    for row in run.rows:
        check_fields(row, {}, run.path / "log.jsonl", dict.fromkeys(("reward", "reward_std", METRIC), float))
    return run


def same_settings(runs: Sequence[Run]) -> list[list[Run]]:
    """Groups of runs that differ in the seed alone, in the order of their first runs.

    Raises:
        AgentError: Two runs of a group have the same seed, so that they say nothing about the spread over seeds.
    """
    groups: list[list[Run]] = []
    for run in runs:
        group = next((group for group in groups if group[0].settings == run.settings), None)
        if group is None:
            groups.append([run])
            continue
        for other in group:
            if other.arguments["seed"] == run.arguments["seed"]:
                raise AgentError(
                    f"--run: {other.path} and {run.path} have the same settings and the seed {run.arguments['seed']}; "
                    "leave one out"
                )
        group.append(run)
    return groups

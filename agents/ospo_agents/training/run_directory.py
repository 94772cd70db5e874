"""The run directory: what training writes there, what may be replaced, and where a run that stopped goes on."""

import json
import math
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ospo_agents.errors import AgentError
from ospo_agents.files import write_atomically

__all__ = [
    "BEST",
    "CHECKPOINTS",
    "CLEARING",
    "EVALUATED",
    "LOCK",
    "METRIC",
    "SCRATCH",
    "TENSORBOARD",
    "Progress",
    "check_out",
    "checkpoint_step",
    "find_progress",
    "has_warm_start",
    "prepare_out",
    "read_lines",
    "read_log",
    "read_run",
    "tidy",
    "write_run",
]

CHECKPOINTS = "checkpoints"
SCRATCH = ".partial"  # in the directory of checkpoints
BEST = "best"
TENSORBOARD = "tensorboard"
LOCK = ".lock"
CLEARING = "clearing"
EVALUATED = "eval_reward"
"""Logged name of an evaluation's value."""
METRIC = "metric"
"""Logged name of the metric of rollouts, where the task says that their reward is something else."""

_WRITTEN = (
    "policy",
    "warmstart",
    CHECKPOINTS,
    BEST,
    TENSORBOARD,
    "pairs.jsonl",
    "log.jsonl",
    "curves.png",
    "report.html",
)

_CHECKPOINT = re.compile(r"checkpoint-[0-9]+")
_COUNTED = ("seconds", "num_tokens", EVALUATED)


@dataclass(frozen=True)
class Progress:
    """Progress of a run.

    Attributes:
        checkpoint: The last complete checkpoint; None before the first.
        step: Optimiser steps up to it.
        seconds: Time they took.
        tokens: Tokens they read and wrote.
        evaluations: Counters of the task after them.
        values: Step -> value of the evaluations up to it.
    """

    checkpoint: Path | None = None
    step: int = 0
    seconds: float = 0.0
    tokens: float = 0.0
    evaluations: Mapping[str, int] = field(default_factory=dict)
    values: Mapping[int, float] = field(default_factory=dict)


def read_run(directory: Path) -> dict[str, Any] | None:
    """Read ``run.json`` of a run; None where the directory is no run, or where the file is damaged."""
    try:
        manifest = json.loads((directory / "run.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    is_run = isinstance(manifest, dict) and isinstance(manifest.get("arguments"), dict)
    return manifest if is_run else None


def has_warm_start(out: Path) -> bool:
    """Whether a run goes on from its own ``warmstart/``, and opens no other policy."""
    return (out / "warmstart").is_dir() and (read_run(out) or {}).get("status") != CLEARING


def check_out(out: Path, overwrite: bool) -> None:
    """Check, before anything slow, that a run may be written to ``out``.

    Raises:
        AgentError: Something that is not a run is there, or a run and ``overwrite`` is not set.
    """
    if not out.exists():
        return
    if not out.is_dir():
        raise AgentError(f"expected a run directory to write, but {out} is a file; choose another one (--out)")
    manifest = read_run(out)
    if manifest is None:
        if any(path.name != LOCK for path in out.iterdir()):
            raise AgentError(f"{out} holds files that are not of a run; choose another directory (--out)")
    elif not overwrite:
        more = "" if manifest.get("status") == "finished" else "go on with it (resume, --resume), "
        raise AgentError(
            f"{out} holds an earlier run; choose another directory (--out), {more}or replace it "
            "(overwrite, --overwrite)"
        )


def prepare_out(out: Path, manifest: Mapping[str, Any]) -> None:
    """Remove what an earlier run wrote, nothing else, and mark the directory as a run that is not finished."""
    out.mkdir(parents=True, exist_ok=True)
    write_run(out, {"status": CLEARING, **manifest})  # whoever resumes it must not take old files for new ones
    for name in _WRITTEN:
        _remove(out / name)
    write_run(out, {"status": "unfinished", **manifest})


def checkpoint_step(path: Path) -> int:
    """The step in the name of a checkpoint, or of a policy that an evaluation kept.

    >>> checkpoint_step(Path("checkpoints/checkpoint-50"))
    50
    """
    return int(path.name.rpartition("-")[2])


def find_progress(out: Path) -> Progress:
    """Progress of an unfinished run, at its last complete checkpoint.

    Raises:
        AgentError: The log is damaged.
    """
    checkpoints = [path for path in (out / CHECKPOINTS).glob("checkpoint-*") if _CHECKPOINT.fullmatch(path.name)]
    checkpoint = max(checkpoints, key=checkpoint_step, default=None)
    if checkpoint is None:
        return Progress()
    step = checkpoint_step(checkpoint)
    rows = [row for row in read_log(out) if row["step"] <= step]
    last = rows[-1] if rows else {}
    counts = {key.partition("/")[2]: int(value) for key, value in last.items() if key.startswith("evaluations/")}
    tokens = next((row["num_tokens"] for row in reversed(rows) if "num_tokens" in row), 0.0)
    values = {row["step"]: row[EVALUATED] for row in rows if EVALUATED in row}
    return Progress(checkpoint, step, last.get("seconds", 0.0), tokens, counts, values)


def tidy(out: Path, progress: Progress) -> None:
    """Remove what a killed run left behind its last checkpoint: lines of the log, policies, half-written files."""
    kept = [row for row in read_log(out) if progress.checkpoint is not None and row["step"] <= progress.step]
    write_atomically(out / "log.jsonl", b"".join(json.dumps(row).encode() + b"\n" for row in kept))
    later = [path for path in (out / BEST).glob("step-*") if checkpoint_step(path) not in progress.values]
    for path in [*out.glob(".*.partial-*"), *out.glob(".*.scratch"), *(out / BEST).glob(".*.partial-*"), *later]:
        _remove(path)


def read_log(out: Path) -> list[dict[str, Any]]:
    """Read the rows of ``log.jsonl``, without a last one that was cut off while it was written.

    Raises:
        AgentError: A line is no JSON object of a step.
    """
    path = out / "log.jsonl"
    rows = read_lines(path)
    for number, row in enumerate(rows, start=1):
        step = row.get("step")
        counted = [key for key in row if key in _COUNTED or key.startswith("evaluations/")]
        if not isinstance(step, int) or not all(_is_number(row[key]) for key in counted):
            raise AgentError(
                f"{path}, line {number}: expected a step of training and numbers, got {str(row)[:80]}; the log is "
                "damaged, so train again"
            )
    return rows


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read the objects of a JSON Lines file, without a last one that was cut off while it was written.

    Raises:
        AgentError: A line is no JSON object.
    """
    lines = path.read_bytes().split(b"\n") if path.is_file() else [b""]
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if isinstance(row, dict):
            rows.append(row)
        elif number < len(lines):
            raise AgentError(
                f"{path}, line {number}: expected a JSON object, got {line[:60]!r}; the file is damaged, so train again"
            )
    return rows


def write_run(out: Path, manifest: Mapping[str, Any]) -> None:
    """Write ``run.json``, all of it or nothing."""
    write_atomically(out / "run.json", json.dumps(manifest, indent=2).encode() + b"\n")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)

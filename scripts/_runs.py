"""The run directory: what training writes there, and what may be replaced."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agents import AgentError
from envs_data.prepared import write_atomically

__all__ = ["check_out", "prepare_out", "read_run", "write_run"]

_WRITTEN = ("policy", "warmstart", "log.jsonl", "run.json")


def read_run(directory: Path) -> dict[str, Any] | None:
    """What ``run.json`` of a run says; ``None`` where the directory is no run."""
    try:
        manifest = json.loads((directory / "run.json").read_bytes())
    except (OSError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) and "arguments" in manifest else None


def check_out(out: Path, overwrite: bool) -> None:
    """Check, before anything slow, that a run may be written to ``out``.

    Raises:
        AgentError: Something that is not a run is there, or a run and ``overwrite`` is not set.
    """
    if not out.exists():
        return
    if not out.is_dir():
        raise AgentError(f"--out: expected a directory to write, but {out} is a file")
    if read_run(out) is None:
        if any(out.iterdir()):
            raise AgentError(f"--out: {out} holds files that are not of a run; choose another directory")
    elif not overwrite:
        raise AgentError(f"{out} holds an earlier run; choose another --out, or add --overwrite to replace it")


def prepare_out(out: Path, manifest: Mapping[str, Any]) -> None:
    """Remove what an earlier run wrote, nothing else, and mark the directory as a run that is not finished."""
    out.mkdir(parents=True, exist_ok=True)
    for name in _WRITTEN:
        path = out / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    write_run(out, {"status": "unfinished", **manifest})


def write_run(out: Path, manifest: Mapping[str, Any]) -> None:
    """Write ``run.json``, all of it or nothing."""
    write_atomically(out / "run.json", json.dumps(manifest, indent=2).encode() + b"\n")

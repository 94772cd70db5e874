"""Time and memory at the official sizes: preparation, index builds, opening an environment and stepping it.

Each part runs in a process of its own, so that the peak of its memory is that of the part alone.
"""

import json
import os
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ospo_agents import AgentError
from ospo_cli._benchmark.open_and_step import EPISODES, gib
from ospo_cli._benchmark.rows import Row

__all__ = ["OPEN_AND_STEP", "measure", "real_size_rows"]

OPEN_AND_STEP = Path(__file__).with_name("open_and_step.py")
_GIB = 2**30
_QUICK = 0.001
_ENVIRONMENTS = {"esci": "OSPO-ESCI-v0", "hm": "OSPO-HM-v0"}
_FILES = {"esci": ["--single-locale"], "hm": []}  # all 1.8 million products in one corpus: the hardest case
_PREPARATION = {"esci": ["--version", "large"], "hm": []}
_RETRIEVERS = {"esci": ("bm25",), "hm": ("bm25", "lsa")}


def real_size_rows(arguments: Namespace) -> list[Row]:
    """Everything that :func:`measure` measures, at full size, or with ``--quick`` at a thousandth of it."""
    if arguments.scratch is None:
        raise AgentError("--only real-size: expected --scratch, a directory with 8 GB of room, kept afterwards")
    if arguments.scratch.exists() and any(arguments.scratch.iterdir()):
        raise AgentError(f"--scratch: expected a new or empty directory, got {arguments.scratch}")
    try:
        return measure(arguments.scratch, scale=_QUICK if arguments.quick else 1.0)
    except RuntimeError as error:
        raise AgentError(str(error)) from error


def measure(
    directory: Path,
    *,
    kinds: Sequence[str] = ("esci", "hm"),
    scale: float = 1.0,
    seed: int = 0,
    say: Callable[[str], None] = print,
) -> list[Row]:
    """Make official-size files and measure everything on them.

    Takes about a quarter of an hour and 8 GB of disk at full scale. Nothing is read from the user's cache.

    Args:
        directory: An empty or missing directory; what is made stays there, and may be deleted.
        kinds: ``"esci"``, ``"hm"``.
        scale: Share of the official sizes, in (0, 1].
        seed: Seed of the files.
        say: Told what is under way.

    Returns:
        Rows in ``s``, ``GiB`` or ``ms``, of the wall clock. ``GiB`` is the peak of the resident memory of that part,
        pages mapped from files included.

    Raises:
        RuntimeError: A part failed; the message is the last line that it wrote.
    """
    rows: list[Row] = []

    def add(name: str, most: float | None, measured: float, unit: str) -> None:
        target = "(reported)" if most is None else f"<= {most:g} {unit}"
        rows.append(Row(name, target, measured, unit, most=most))

    for kind in kinds:
        source, data, cache = (directory / f"{kind}-{part}" for part in ("files", "data", "cache"))
        about = {"OSPO_CACHE_DIR": str(cache)}
        say(f"{kind}: writing files at {scale:g} of the official size")
        sized = ["--kind", kind, "--out", str(source), "--scale", str(scale), "--seed", str(seed), *_FILES[kind]]
        seconds, peak, _ = _timed(["-m", "ospo_cli", "make-official-size", *sized], about)
        add(f"{kind}: writing the files", None, seconds, "s")
        say(f"{kind}: preparing")
        options = [kind, "--source", str(source), "--out", str(data), *_PREPARATION[kind]]
        seconds, peak, _ = _timed(["-m", "ospo_cli", "prepare", *options], about)
        add(f"{kind}: prepare.py", 180.0, seconds, "s")
        add(f"{kind}: prepare.py, peak memory", 6.0, peak, "GiB")
        for retriever in _RETRIEVERS[kind]:
            part = [str(OPEN_AND_STEP), _ENVIRONMENTS[kind], str(data), retriever]
            say(f"{kind}: first gym.make with {retriever}, which checks the data and builds the index")
            _, peak, measured = _timed(part, about)
            add(f"{kind}: first gym.make, {retriever}, index build included", None, measured["make"], "s")
            add(f"{kind}: first gym.make, {retriever}, peak memory", None, peak, "GiB")
            say(f"{kind}: gym.make with {retriever} again, and {EPISODES} episodes")
            _, peak, measured = _timed(part, about)
            add(f"{kind}: gym.make, {retriever}", 10.0, measured["make"], "s")
            add(f"{kind}: gym.make, {retriever}, peak memory", 4.0, measured["peak"], "GiB")
            add(f"{kind}: reset + step, {retriever}, median of {EPISODES}", 20.0, measured["median"], "ms")
            add(f"{kind}: reset + step, {retriever}, slowest of {EPISODES}", None, measured["slowest"], "ms")
            add(f"{kind}: {EPISODES} episodes, {retriever}, peak memory", None, peak, "GiB")
        size = sum(path.stat().st_size for path in cache.rglob("*.npy"))
        add(f"{kind}: indexes on disk", None, size / _GIB, "GiB")
    return rows


def _timed(command: Sequence[str], about: dict[str, str]) -> tuple[float, float, Any]:
    """Seconds, peak memory in GiB, and and the last line printed, parsed if it is JSON."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **about},
    )
    assert process.stdout is not None
    with process.stdout:
        lines = process.stdout.read().strip().splitlines() or [""]
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed with exit code {process.returncode}: {lines[-1]}")
    measured = json.loads(lines[-1]) if lines[-1].startswith("{") else None
    return time.perf_counter() - start, gib(usage.ru_maxrss), measured

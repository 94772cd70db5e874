"""Python programs that are killed at their N-th file operation below a directory."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from paths import ROOT

_EVENTS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.listdir", "os.scandir", "os.truncate"}


def run_killed(program, directory, stop=0):
    """Run a program; kill -9 it before its ``stop``-th file operation below a directory, never for 0.

    Returns:
        The number of such operations, or ``None`` if it was killed.
    """
    code = f"import killed; count = killed.watch({str(directory)!r}, {stop})\n{program}\nprint(count())"
    path = os.pathsep.join([str(Path(__file__).parent), str(ROOT), str(ROOT / "agents"), str(ROOT / "scripts")])
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": path},
    )
    if done.returncode == -signal.SIGKILL:
        return None
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[-1])


def watch(directory, stop):
    """Count file operations below a directory from now on, and die at one; returns a function that gives the count."""
    total = 0

    def hook(event, arguments):
        nonlocal total
        if event in _EVENTS and any(str(part).startswith(directory) for part in arguments):
            total += 1
            if total == stop:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    return lambda: total

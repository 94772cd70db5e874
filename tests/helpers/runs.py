"""Training runs that are stopped: killed from outside, or interrupted at a known step."""

import signal
import subprocess
import sys
import time

from ospo_agents.training import progress
from paths import ROOT

TIMES = ("seconds", "step_time", "time/", "evaluations/distinct", "evaluations/cached", "evaluations/stored")


def without_times(rows):
    """What a resumed run repeats exactly: all but times, and what a cache saved that the killed process lost."""
    return [{key: value for key, value in row.items() if not key.startswith(TIMES)} for row in rows]


def kill(arguments, when):
    """Start a run, kill it by SIGKILL as soon as ``when`` holds, and check that it was still at work."""
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "scripts" / "train.py"), *arguments],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + 120
    try:
        while not when():
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < until
            time.sleep(0.002)
    finally:
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL


def interrupt(monkeypatch, step):
    """Stop the next run in this process while it logs that step."""
    on_log = progress.LogFile.on_log

    def interrupted(self, args, state, control, logs=None, **kwargs):
        on_log(self, args, state, control, logs=logs, **kwargs)
        if state.global_step == step and "loss" in (logs or {}):
            raise KeyboardInterrupt

    monkeypatch.setattr(progress.LogFile, "on_log", interrupted)

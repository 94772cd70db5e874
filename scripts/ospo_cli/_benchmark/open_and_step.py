"""One part of the measurement at real size: ``python open_and_step.py ENV_ID DATA RETRIEVER`` prints a line of JSON.

A program of its own, so that the peak of its memory is that of opening and stepping alone.
"""

import json
import resource
import sys
import time
from pathlib import Path

import gymnasium as gym

import ospo_env  # noqa: F401 - registers the environments

EPISODES = 200


def gib(maxrss: int) -> float:
    """Convert the memory that ``getrusage`` reports to GiB; its unit is kilobytes, on macOS bytes."""
    return maxrss * (1 if sys.platform == "darwin" else 1024) / 2**30


def peak_gib() -> float:
    """The most memory of this program, in GiB; where Linux tells it, without that of the process that started it."""
    status = Path("/proc/self/status")
    if status.is_file():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 2**20
    return gib(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def open_and_step(env_id: str, data: str, retriever: str) -> dict[str, float]:
    """Seconds to make the environment, its memory then, and milliseconds an episode of the raw prompt."""
    start = time.perf_counter()
    env = gym.make(env_id, data=data, retriever=retriever)
    made = time.perf_counter() - start
    peak = peak_gib()
    taken = []
    env.reset(seed=0)
    for _ in range(EPISODES):
        start = time.perf_counter()
        prompt, _ = env.reset()
        env.step(prompt)
        taken.append(1_000 * (time.perf_counter() - start))
    return {"make": made, "peak": peak, "median": sorted(taken)[EPISODES // 2], "slowest": max(taken)}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(open_and_step(*sys.argv[1:])) + "\n")

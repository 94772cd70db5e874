"""Rows that need a training run: the price of credit, and a warm cache."""

import json
import subprocess
import sys
import tempfile
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np

from ospo_agents import AgentError
from ospo_cli._benchmark.engine import reference_seconds
from ospo_cli._benchmark.plan import SETTLING_STEPS
from ospo_cli._benchmark.rows import Row
from ospo_cli._benchmark.work import fresh_task, make_rollouts, open_data

__all__ = ["price_rows", "train_log", "train_run", "warm_rows"]


def train_run(out: Path, *options: str) -> None:
    """Train the tiny policy of the embedded shop in a process of its own.

    Args:
        out: The run's directory.
        options: Options of ``ospo train``.

    Raises:
        AgentError: The training failed.
    """
    command = [sys.executable, "-m", "ospo_cli", "train", "--env", "OSPO-ESCI-v0", "--out", str(out), *options]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise AgentError(f"the training run for the benchmark failed: {done.stderr.strip().splitlines()[-1:]}")


def train_log(algo: str, retriever: str, steps: int, data: Path | None = None) -> list[dict[str, Any]]:
    """Rows of a training run's log, one a step of the learner; the policy is the tiny one."""
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "run"
        options = ["--algo", algo, "--retriever", retriever, "--steps", str(steps)]
        options += ["--save-steps", "0", "--warm-start-epochs", "0"]
        train_run(out, *options, *(() if data is None else ("--data", str(data))))
        rows = [json.loads(line) for line in (out / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    return [row for row in rows if "step_time" in row]


def price_rows(arguments: Namespace) -> list[Row]:
    """Rows of the price of credit: the time of an OSPO step over that of a GRPO step, all else equal."""
    steps = arguments.training_steps or (8 if arguments.quick else 40)
    kinds = [("bm25", 1.15)]
    if arguments.model is not None:
        kinds.append((f"dense:{arguments.model}", 5.0))
    price = []
    for retriever, most in kinds:
        seconds = {
            algo: float(np.median([row["step_time"] for row in train_log(algo, retriever, steps)[SETTLING_STEPS:]]))
            for algo in ("grpo", "ospo")
        }
        kind = retriever.partition(":")[0]
        ratio = seconds["ospo"] / seconds["grpo"]
        work = f"OSPO step over GRPO step, tiny policy, {kind} (median of {steps - SETTLING_STEPS} steps)"
        price.append(Row(work, f"<= {most:g}x", ratio, "x", most=most, details=seconds))
    return price


def warm_rows(arguments: Namespace) -> list[Row]:
    """Row of a warm cache: all scoring of a training run with MiniLM beside the reference on as many coalitions."""
    if arguments.model is None:
        raise AgentError("--only warm: expected --model, the directory of a sentence-transformers model")
    retriever = f"dense:{arguments.model}"
    steps = arguments.training_steps or (10 if arguments.quick else 100)
    rows = train_log("ospo", retriever, steps, arguments.dense_data)
    seconds = sum(row["time/scoring"] for row in rows)
    task = fresh_task(open_data(arguments.dense_data), retriever)
    rollouts = make_rollouts(task, arguments.prompts, arguments.group, range(8, 13))
    whole, sampled = reference_seconds(task, rollouts, arguments.sample)
    evaluations = int(rows[-1]["evaluations/asked"])
    reference = whole / rollouts.size * evaluations
    details = {
        "asked": evaluations,
        "distinct": rows[-1]["evaluations/distinct"],
        "cached": rows[-1]["evaluations/cached"],
        "engine_seconds": seconds,
        "reference_seconds": reference,
        "reference_sample": sampled,
    }
    work = f"scoring of {steps} training steps, MiniLM fp32, cache warming up"
    return [Row(work, ">= 20x the reference", reference / seconds, "x", least=20, details=details)]

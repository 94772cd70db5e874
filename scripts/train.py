"""Train a rewriting policy on a task: warm start on demonstrations, then reinforcement learning.

Without --policy a tiny causal LM is made from scratch, with a tokenizer trained on the task's own text. Writes into
the run directory: warmstart/ (the policy before RL), policy/ (after), log.jsonl (one line a step), run.json.
"""

import argparse
import json
import os
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import gymnasium as gym
import yaml
from _cli import Formatter, run

import ospo_env  # noqa: F401 - registers the environments
from agents import AgentError
from envs_data import DataError
from envs_data.prepared import write_atomically

PRESETS = Path(__file__).parent / "presets"
PACKAGES = ("ospo", "torch", "transformers", "trl", "gymnasium", "numpy")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments; a preset's values stand where the command line says nothing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=Formatter)
    parser.add_argument("--preset", help=f"named settings: {', '.join(sorted(p.stem for p in PRESETS.glob('*.yaml')))}")
    parser.add_argument("--env", help="environment id, for example OSPO-ESCI-v0 (required here or in the preset)")
    parser.add_argument("--data", type=Path, help="prepared directory; none means the embedded sample")
    parser.add_argument("--retriever", default="bm25", help="retriever that ranks during training")
    parser.add_argument("--metric", default="nDCG@10", help="metric that is the reward")
    parser.add_argument("--out", type=Path, required=True, help="run directory to write")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier run in that directory")
    parser.add_argument("--policy", type=Path, help="directory of a policy to start from instead of a new tiny one")
    parser.add_argument("--algo", default="ospo", choices=("ospo", "grpo"), help="learner")
    parser.add_argument("--steps", type=int, default=250, help="optimiser steps of reinforcement learning")
    parser.add_argument("--seed", type=int, default=0, help="of initial weights, order of prompts and sampling")
    parser.add_argument("--batch-size", type=int, default=64, help="rollouts a step")
    parser.add_argument("--group-size", type=int, default=8, help="rollouts of one prompt")
    parser.add_argument("--learning-rate", type=float, default=1e-3, help="of reinforcement learning, constant")
    parser.add_argument("--max-completion-length", type=int, default=48, help="tokens of a completion")
    parser.add_argument("--temperature", type=float, default=1.0, help="of sampling during training")
    parser.add_argument("--loss-type", default="dr_grpo", help="TRL's loss_type")
    parser.add_argument("--warm-start-epochs", type=float, default=6.0, help="passes over the demonstrations; 0 skips")
    parser.add_argument("--segmenter", default="phrases", help="players of the game: phrases or sentences")
    parser.add_argument("--solution", default="myerson", help="solution of the game: shapley, myerson, ...")
    parser.add_argument("--redistribution", default="additive", help="credit to tokens: additive, signed, prop, ...")
    preset = parser.parse_known_args(argv)[0].preset
    if preset is not None:
        parser.set_defaults(**_read_preset(parser, preset))
    arguments = parser.parse_args(argv)
    if arguments.env is None:
        parser.error("the following arguments are required: --env (or a --preset that names it)")
    _check(arguments)
    return arguments


def main(argv: Sequence[str] | None) -> None:
    """Train, and write the run directory."""
    arguments = parse(argv)
    started = time.perf_counter()
    try:
        env = gym.make(
            arguments.env, data=_text(arguments.data), retriever=arguments.retriever, metric=arguments.metric
        )
    except gym.error.Error as error:
        raise DataError(str(error)) from error
    task: Any = env.unwrapped.task  # type: ignore[attr-defined]
    # Heavy libraries are imported once the task stands, so that bad input is reported at once.
    from _progress import quiet
    from _training import learn, make_policy

    quiet()
    policy = make_policy(arguments, task)
    _prepare_out(arguments)
    learn(arguments, task, *policy)
    manifest = {
        "arguments": {key: _text(value) for key, value in sorted(vars(arguments).items())},
        "dataset": task.data.manifest["dataset"],
        "synthetic": task.data.synthetic,
        "data_fingerprint": task.data.fingerprint,
        "evaluations": dict(task.counters),
        "seconds": round(time.perf_counter() - started, 1),
        "versions": {name: version(name) for name in PACKAGES},
    }
    write_atomically(arguments.out / "run.json", json.dumps(manifest, indent=2).encode() + b"\n")
    print(f"Wrote {arguments.out}: policy/ (after RL), warmstart/ (before), log.jsonl, run.json")


def _read_preset(parser: argparse.ArgumentParser, name: str) -> dict[str, Any]:
    path = PRESETS / f"{name}.yaml"
    if not path.is_file():
        parser.error(f"unknown preset {name!r}; known: {', '.join(sorted(p.stem for p in PRESETS.glob('*.yaml')))}")
    values = yaml.safe_load(path.read_text()) or {}
    known = {action.dest for action in parser._actions}
    unknown = sorted(set(values) - known)
    if unknown:
        parser.error(f"preset {path} sets unknown arguments: {', '.join(unknown)}")
    return {key: values[key] for key in values}


def _check(arguments: argparse.Namespace) -> None:
    if arguments.steps < 1:
        raise AgentError(f"--steps: expected at least 1, got {arguments.steps}")
    if arguments.group_size < 2:
        raise AgentError(f"--group-size: expected at least 2 rollouts to compare, got {arguments.group_size}")
    if arguments.batch_size < 1 or arguments.batch_size % arguments.group_size:
        raise AgentError(
            f"--batch-size: expected a multiple of --group-size {arguments.group_size}, got {arguments.batch_size}"
        )
    for name in ("learning_rate", "temperature"):
        if getattr(arguments, name) <= 0:
            raise AgentError(f"--{name.replace('_', '-')}: expected a number above 0, got {getattr(arguments, name)}")
    if (arguments.out / "run.json").exists() and not arguments.overwrite:
        raise AgentError(
            f"{arguments.out} holds an earlier run; choose another --out, or add --overwrite to replace it"
        )
    if arguments.out.exists() and not arguments.out.is_dir():
        raise AgentError(f"--out: expected a directory to write, but {arguments.out} is a file")


def _prepare_out(arguments: argparse.Namespace) -> None:
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in ("run.json", "log.jsonl"):
        (arguments.out / name).unlink(missing_ok=True)


def _text(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, Path) else value


if __name__ == "__main__":
    run(main, AgentError)

"""Train a rewriting policy on a task: warm start on demonstrations, then reinforcement learning.

Without --policy a tiny causal LM is made from scratch, with a tokenizer trained on the task's own text. Writes into
the run directory: warmstart/ (the policy before RL), policy/ (after), log.jsonl (one line a step), run.json.
"""

import math
import os
import time
from argparse import Namespace
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from _cli import Parser, open_task, run
from _runs import check_out, prepare_out, write_run

from agents import AgentError

PRESETS = Path(__file__).parent / "presets"
PACKAGES = ("ospo", "torch", "transformers", "trl", "gymnasium", "numpy")
LOSS_TYPES = ("dr_grpo", "grpo", "bnpo", "dapo", "cispo", "sapo")
CREDIT_DEFAULTS: dict[str, Any] = {
    "segmenter": "phrases",
    "solution": "sampled_shapley",
    "solution_settings": {},
    "redistribution": "additive",
    "redistribution_settings": {},
}


def parse(argv: Sequence[str] | None) -> Namespace:
    """The arguments; a preset's values stand where the command line says nothing."""
    parser = _parser()
    preset = parser.parse_known_args(argv)[0].preset
    if preset is not None:
        parser.set_defaults(**_read_preset(parser, preset))
    arguments = parser.parse_args(argv)
    if arguments.env is None:
        parser.error("expected --env, or a --preset that names one")
    if arguments.out is None:
        parser.error("expected --out, the run directory to write")
    _check(arguments)
    return arguments


def main(argv: Sequence[str] | None) -> None:
    """Train, and write the run directory."""
    arguments = parse(argv)
    started = time.perf_counter()
    task = open_task(
        arguments.env, arguments.data, split="train", retriever=arguments.retriever, metric=arguments.metric
    )
    prompts = len(task.prompts("train")[0])
    if arguments.batch_size // arguments.group_size > prompts:
        raise AgentError(
            f"--batch-size {arguments.batch_size} with --group-size {arguments.group_size} needs "
            f"{arguments.batch_size // arguments.group_size} prompts a step, but the train split has {prompts}; "
            f"use at most {prompts * arguments.group_size}"
        )
    # Heavy libraries are imported once the task stands, so that bad input is reported at once.
    from _progress import quiet
    from _training import check_credit, learn, make_policy

    quiet()
    check_credit(arguments)
    policy = make_policy(arguments, task)
    manifest = {
        "arguments": {key: _json(value) for key, value in sorted(vars(arguments).items())},
        "dataset": task.data.manifest["dataset"],
        "synthetic": task.data.synthetic,
        "data_fingerprint": task.data.fingerprint,
        "versions": {name: version(name) for name in PACKAGES},
    }
    prepare_out(arguments.out, manifest)
    learn(arguments, task, *policy)
    seconds = round(time.perf_counter() - started, 1)
    finished = {"status": "finished", "evaluations": dict(task.counters), "seconds": seconds}
    write_run(arguments.out, finished | manifest)
    print(f"Wrote {arguments.out}: policy/ (after RL), warmstart/ (before), log.jsonl, run.json")


def _parser() -> Parser:
    known = ", ".join(sorted(path.stem for path in PRESETS.glob("*.yaml")))
    parser = Parser(description=__doc__)
    parser.add_argument("--preset", help=f"named settings, which other arguments override: {known}")
    parser.add_argument("--env", help="environment id, for example OSPO-ESCI-v0 (here or in the preset)")
    parser.add_argument("--data", type=Path, help="prepared directory; none means the embedded sample")
    parser.add_argument("--retriever", default="bm25", help="retriever that ranks during training")
    parser.add_argument("--metric", default="nDCG@10", help="metric that is the reward")
    parser.add_argument("--out", type=Path, help="run directory to write")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier run in that directory")
    parser.add_argument("--policy", type=Path, help="directory of a policy to start from instead of a new tiny one")
    parser.add_argument("--algo", default="ospo", choices=("ospo", "grpo"), help="learner")
    parser.add_argument("--steps", type=int, default=250, help="optimiser steps of reinforcement learning")
    parser.add_argument("--seed", type=int, default=0, help="of initial weights, order of prompts and sampling")
    parser.add_argument("--batch-size", type=int, default=64, help="rollouts a step")
    parser.add_argument("--group-size", type=int, default=8, help="rollouts of one prompt")
    parser.add_argument("--learning-rate", type=float, default=3e-4, help="of reinforcement learning, constant")
    parser.add_argument("--max-completion-length", type=int, default=32, help="tokens of a completion")
    parser.add_argument("--temperature", type=float, default=1.0, help="of sampling during training")
    parser.add_argument("--loss-type", default="dr_grpo", choices=LOSS_TYPES, help="TRL's loss_type")
    parser.add_argument("--warm-start-epochs", type=float, default=8.0, help="passes over the demonstrations; 0 skips")
    credit = parser.add_argument_group("credit, of --algo ospo only")
    for name, what in {
        "segmenter": "players of the game: phrases or sentences",
        "solution": "solution of the game: sampled_shapley, shapley, owen, myerson, ...",
        "redistribution": "credit to tokens: additive, signed, prop, ...",
    }.items():
        credit.add_argument(f"--{name}", help=f"{what} (default: {CREDIT_DEFAULTS[name]})")
    for name in ("solution", "redistribution"):
        credit.add_argument(
            f"--{name}-settings", type=yaml.safe_load, metavar="YAML", help=f"of the {name}, such as '{{width: 8}}'"
        )
    return parser


def _read_preset(parser: Parser, name: str) -> dict[str, Any]:
    path = PRESETS / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(path.stem for path in PRESETS.glob("*.yaml")))
        parser.error(f"unknown preset {name!r}; known: {known}")
    values: dict[str, Any] = yaml.safe_load(path.read_text())
    unknown = sorted(set(values) - {action.dest for action in parser._actions})
    if unknown:
        parser.error(f"preset {path} sets unknown arguments: {', '.join(unknown)}")
    return values


def _check(arguments: Namespace) -> None:
    for name, least in (("steps", 1), ("group_size", 2), ("batch_size", 1), ("max_completion_length", 1), ("seed", 0)):
        if not least <= getattr(arguments, name) < 2**31:
            raise AgentError(f"--{name.replace('_', '-')}: expected at least {least}, got {getattr(arguments, name)}")
    if arguments.batch_size % arguments.group_size:
        raise AgentError(
            f"--batch-size: expected a multiple of --group-size {arguments.group_size}, got {arguments.batch_size}"
        )
    for name, least in (("learning_rate", 0.0), ("temperature", 0.0), ("warm_start_epochs", -1.0)):
        value = getattr(arguments, name)
        if not math.isfinite(value) or value <= least or (name == "warm_start_epochs" and value < 0):
            bound = "of at least 0" if least < 0 else "above 0"
            raise AgentError(f"--{name.replace('_', '-')}: expected a finite number {bound}, got {value}")
    for name, default in CREDIT_DEFAULTS.items():
        value = getattr(arguments, name)
        if arguments.algo != "ospo" and value is not None:
            raise AgentError(f"--{name.replace('_', '-')} is of --algo ospo; leave it out with --algo {arguments.algo}")
        if arguments.algo == "ospo" and value is None:
            setattr(arguments, name, default)
        elif value is not None and not isinstance(value, type(default)):
            raise AgentError(f"--{name.replace('_', '-')}: expected a mapping such as '{{width: 8}}', got {value!r}")
    check_out(arguments.out, arguments.overwrite)


def _json(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, Path) else value


if __name__ == "__main__":
    run(main)

"""The arguments of `train.py`: from the command line, over those of a preset or of the run to resume."""

import importlib.util
import math
import os
from argparse import BooleanOptionalAction, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from ospo_agents import AgentError
from ospo_agents.training.processes import is_first, processes
from ospo_agents.training.run_directory import check_out, read_run
from ospo_cli._cli import MAX_WORDS_HELP, Parser

__all__ = ["LEARNERS", "LOSS_TYPES", "parse", "recorded"]

PRESETS = Path(__file__).parent / "presets"
LEARNERS = {
    "ospo": "this project's",
    "grpo": "TRL's own, as the others",
    "rloo": "leave-one-out baselines",
    "dpo": "best against worst of groups of rollouts drawn before it begins",
    "sft": "more passes over the demonstrations, no rollouts",
}
LOSS_TYPES = ("dr_grpo", "grpo", "bnpo", "dapo", "cispo", "sapo", "luspo", "vespo")
_ON_POLICY = ("ospo", "grpo", "rloo")
_SAMPLING = (*_ON_POLICY, "dpo")
# What only some learners have, and its default there. None stands where it says nothing.
_OF_SOME: dict[str, tuple[tuple[str, ...], Any]] = {
    "segmenter": (("ospo",), "phrases"),
    "solution": (("ospo",), "sampled_shapley"),
    "solution_settings": (("ospo",), {}),
    "redistribution": (("ospo",), "additive"),
    "redistribution_settings": (("ospo",), {}),
    "credit_separators": (("ospo",), False),
    "loss_type": (("ospo", "grpo"), "dr_grpo"),
    "num_iterations": (_ON_POLICY, 1),
    "vllm": (_ON_POLICY, None),
    "kl": (_SAMPLING, 0.0),
}
_DPO_KL = 0.1
_SAVE_STEPS = 50
_MAY_CHANGE = ("out", "overwrite", "resume", "save_steps")

_EXAMPLES = (
    "--preset demo --out runs/demo",
    "--env OSPO-HM-v0 --algo grpo --steps 100 --seed 1 --out runs/grpo",
)


def parse(argv: Sequence[str] | None) -> Namespace:
    """The arguments, checked; a preset's, or those of the run to resume, stand where the command line says nothing."""
    parser = _parser()
    said = parser.parse_known_args(argv)[0]
    earlier = None
    if said.resume:
        earlier = _read_earlier(said)
        parser.set_defaults(**{name: value for name, value in earlier.items() if name not in ("out", "overwrite")})
    elif said.preset is not None:
        parser.set_defaults(**_read_preset(parser, said.preset, said.algo))
    arguments = parser.parse_args(argv)
    arguments.algo = arguments.algo or "ospo"
    if earlier is not None:
        _check_unchanged(arguments, earlier)
    if arguments.env is None:
        parser.error("expected --env, or a --preset that names one")
    if arguments.out is None:
        parser.error("expected --out, the run directory to write")
    _fill(arguments)
    _check(arguments)
    return arguments


def recorded(arguments: Namespace) -> dict[str, Any]:
    """The arguments as ``run.json`` holds them."""
    values = {key: os.fspath(value) if isinstance(value, Path) else value for key, value in vars(arguments).items()}
    return {key: value for key, value in sorted(values.items()) if key != "resume"}


def _parser() -> Parser:
    parser = Parser("train", description=_DESCRIPTION, examples=_EXAMPLES)
    parser.add_argument("--preset", help=f"named settings, which other arguments override: {_presets()}")
    parser.add_argument("--env", help="environment id, for example OSPO-ESCI-v0 (here or in the preset)")
    parser.add_argument("--data", type=Path, help="prepared directory; none means the embedded sample")
    parser.add_argument("--retriever", default="bm25", help="retriever that ranks during training")
    parser.add_argument("--metric", default="nDCG@10", help="metric that is the reward")
    parser.add_argument("--max-words", type=int, help=MAX_WORDS_HELP)
    parser.add_argument("--algo", choices=LEARNERS, help=f"learner: {_listed(LEARNERS)} (default: ospo)")
    parser.add_argument("--steps", type=int, default=250, help="optimiser steps of the learner")
    parser.add_argument("--seed", type=int, default=0, help="of initial weights, order of prompts and sampling")
    parser.add_argument("--batch-size", type=int, default=64, help="rollouts a step, of all processes; sft: examples")
    parser.add_argument("--group-size", type=int, default=8, help="rollouts of one prompt")
    parser.add_argument("--learning-rate", type=float, default=3e-4, help="of the learner, constant")
    parser.add_argument("--max-completion-length", type=int, default=32, help="tokens of a completion")
    parser.add_argument("--temperature", type=float, default=1.0, help="of sampling during training")
    parser.add_argument("--loss-type", choices=LOSS_TYPES, help="TRL's; luspo with grpo only (default: dr_grpo)")
    parser.add_argument(
        "--kl", type=float, help=f"TRL's beta, weight of KL to the warm start (default: 0; dpo {_DPO_KL})"
    )
    parser.add_argument("--num-iterations", type=int, help="optimiser steps on the same rollouts (default: 1)")
    parser.add_argument("--gradient-accumulation", type=int, default=1, help="parts of a step's batch, to save memory")
    parser.add_argument("--warm-start-epochs", type=float, default=3.0, help="passes over the demonstrations; 0 skips")
    parser.add_argument("--warm-start-learning-rate", type=float, default=2e-3, help="at its peak; falls linearly to 0")
    _add_policy(parser.add_argument_group("policy"))
    _add_credit(parser.add_argument_group("credit, of --algo ospo only"))
    _add_files(parser.add_argument_group("run directory"))
    return parser


_DESCRIPTION = """Train a rewriting policy on a task: warm start on demonstrations, then a learner.

Without --policy a tiny causal LM is made from scratch, with a tokenizer trained on the task's own text. Writes into
the run directory: warmstart/ (the policy before the learner), policy/ (after), log.jsonl (one line a step),
curves.png, run.json; for dpo also pairs.jsonl, the rollouts it compares."""


def _add_policy(group: Any) -> None:
    group.add_argument("--policy", help="directory or hub id of a causal LM to start from, instead of a new tiny one")
    group.add_argument(
        "--lora-rank", type=int, default=0, help="train adapters of this rank only; 0 trains all weights"
    )
    group.add_argument("--lora-alpha", type=int, default=16, help="scale of the adapters, over their rank")
    switches = {
        "bf16": "compute in bfloat16",
        "load_4bit": "hold the weights under adapters in 4 bits; needs a GPU and bitsandbytes",
        "activation_checkpointing": "compute activations twice, to save memory",
    }
    for name, what in switches.items():
        group.add_argument(f"--{name.replace('_', '-')}", action=BooleanOptionalAction, default=False, help=what)
    group.add_argument("--vllm", choices=("colocate", "server"), help="sample with vLLM; TRL's vllm_mode")


def _add_credit(group: Any) -> None:
    for name, what in {
        "segmenter": "players of the game: words, phrases or sentences",
        "solution": "solution of the game: sampled_shapley, shapley, owen, myerson, ...",
        "redistribution": "credit to tokens: additive, signed, prop, ...",
    }.items():
        group.add_argument(f"--{name}", help=f"{what} (default: {_OF_SOME[name][1]})")
    for name in ("solution", "redistribution"):
        group.add_argument(
            f"--{name}-settings", type=yaml.safe_load, metavar="YAML", help=f"of the {name}, such as '{{width: 8}}'"
        )
    group.add_argument("--credit-separators", action=BooleanOptionalAction, help="lay credit on punctuation too")


def _add_files(group: Any) -> None:
    group.add_argument("--out", type=Path, help="run directory to write")
    group.add_argument("--overwrite", action="store_true", help="replace an earlier run in that directory")
    group.add_argument("--resume", action="store_true", help="go on with the unfinished run in that directory")
    group.add_argument(
        "--save-steps",
        type=int,
        help=f"steps between checkpoints; 0 for none; removed at the end (default: {_SAVE_STEPS})",
    )


def _presets() -> str:
    return ", ".join(sorted(path.stem for path in PRESETS.glob("*.yaml")))


def _listed(named: dict[str, str]) -> str:
    return "; ".join(f"{name}: {what}" for name, what in named.items())


def _read_preset(parser: Parser, name: str, algo: str | None) -> dict[str, Any]:
    """What a preset sets, without what the learner that the command line may name does not have."""
    path = PRESETS / f"{name}.yaml"
    if not path.is_file():
        parser.error(f"unknown preset {name!r}; known: {_presets()}")
    values: dict[str, Any] = yaml.safe_load(path.read_text())
    unknown = sorted(set(values) - {action.dest for action in parser._actions})
    if unknown:
        parser.error(f"preset {path} sets unknown arguments: {', '.join(unknown)}")
    algo = algo or values.get("algo", "ospo")
    return {key: value for key, value in values.items() if key not in _OF_SOME or algo in _OF_SOME[key][0]}


def _read_earlier(said: Namespace) -> dict[str, Any]:
    """The recorded arguments of the run to resume."""
    if said.out is None:
        raise AgentError("--resume: expected --out, the directory of the run to go on with")
    if said.overwrite:
        raise AgentError("--resume goes on with a run and --overwrite replaces it; give one of them")
    manifest = read_run(said.out)
    if manifest is None:
        raise AgentError(f"--resume: {said.out} holds no run; leave --resume out to start one")
    earlier: dict[str, Any] = manifest["arguments"]
    return earlier


def _check_unchanged(arguments: Namespace, earlier: dict[str, Any]) -> None:
    now = recorded(arguments)
    changed = [key for key, value in earlier.items() if key not in _MAY_CHANGE and now.get(key) != value]
    if changed:
        listed = ", ".join(f"--{key.replace('_', '-')} {earlier[key]} (now {now.get(key)})" for key in changed)
        raise AgentError(f"--resume: {arguments.out} was started with {listed}; leave changed arguments out")


def _fill(arguments: Namespace) -> None:
    """Defaults of what only some learners have; refuse what the learner does not have."""
    for name, (learners, default) in _OF_SOME.items():
        value = getattr(arguments, name)
        if arguments.algo not in learners:
            if value is not None:
                option = name.replace("_", "-")
                raise AgentError(
                    f"--{option} is of --algo {', '.join(learners)}; leave it out with --algo {arguments.algo}"
                )
        elif value is None:
            setattr(arguments, name, _DPO_KL if (name, arguments.algo) == ("kl", "dpo") else default)
        elif isinstance(default, dict) and not isinstance(value, dict):
            raise AgentError(f"--{name.replace('_', '-')}: expected a mapping such as '{{width: 8}}', got {value!r}")
    if (arguments.algo, arguments.loss_type) == ("ospo", "luspo"):
        raise AgentError(
            "--loss-type luspo takes one ratio for a whole completion, which gives all its tokens the same advantage: "
            "credit would be lost; choose another, or --algo grpo"
        )
    if arguments.save_steps is None:  # the next boundary of generation
        arguments.save_steps = -(-_SAVE_STEPS // (arguments.num_iterations or 1)) * (arguments.num_iterations or 1)


def _check(arguments: Namespace) -> None:
    whole = {"steps": 1, "group_size": 2, "batch_size": 1, "max_completion_length": 1, "seed": 0, "num_iterations": 1}
    whole |= {"gradient_accumulation": 1, "save_steps": 0, "lora_rank": 0, "lora_alpha": 1}
    for name, least in whole.items():
        value = getattr(arguments, name)
        if value is not None and not least <= value < 2**31:
            raise AgentError(f"--{name.replace('_', '-')}: expected at least {least}, got {value}")
    above = ("learning_rate", "temperature", "warm_start_learning_rate")
    for name in (*above, "warm_start_epochs", "kl"):
        value = getattr(arguments, name)
        if value is None:
            continue
        strict = name in above or (name, arguments.algo) == ("kl", "dpo")
        if not math.isfinite(value) or value < 0 or (strict and value == 0):
            bound = "above 0" if strict else "of at least 0"
            raise AgentError(f"--{name.replace('_', '-')}: expected a finite number {bound}, got {value}")
    _check_batches(arguments)
    if arguments.lora_rank and arguments.policy is None:
        raise AgentError("--lora-rank needs a trained --policy; the new tiny one trains all its weights")
    if arguments.vllm is not None and importlib.util.find_spec("vllm") is None:
        raise AgentError("--vllm needs the package vllm, which is not installed; install it or leave --vllm out")
    if not arguments.resume and is_first():
        check_out(arguments.out, arguments.overwrite)


def _check_batches(arguments: Namespace) -> None:
    """Groups and parts must come out whole."""
    if arguments.batch_size % arguments.group_size:
        raise AgentError(
            f"--batch-size: expected a multiple of --group-size {arguments.group_size}, got {arguments.batch_size}"
        )
    parts = arguments.gradient_accumulation * processes()
    size = arguments.batch_size // (arguments.group_size if arguments.algo == "dpo" else 1)
    if size % parts:
        what = f"--batch-size {arguments.batch_size}" + (" in pairs, one a group," if arguments.algo == "dpo" else "")
        raise AgentError(
            f"--gradient-accumulation: {what} gives {size} examples a step, which {parts} parts "
            f"({processes()} processes) do not divide; choose a divisor"
        )
    if arguments.num_iterations is not None and arguments.save_steps % arguments.num_iterations:
        raise AgentError(
            f"--save-steps: expected a multiple of --num-iterations {arguments.num_iterations}, since a checkpoint "
            f"keeps no rollouts; got {arguments.save_steps}"
        )

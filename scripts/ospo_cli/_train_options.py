"""The options of ``ospo train``, made of the training settings and their defaults."""

import argparse
from argparse import BooleanOptionalAction
from pathlib import Path
from typing import Any

from ospo_agents.calls import DEFAULT_CALLS
from ospo_agents.errors import unknown
from ospo_agents.training.learners import LEARNERS
from ospo_agents.training.settings import KEPT, LOSS_TYPES, VLLM_MODES, TrainingSettings
from ospo_cli._cli import MAX_WORDS_HELP, Parser, path_text, retriever_names
from ospo_cli._modes import add_modes
from ospo_cli._reward_settings import RewardSettings
from ospo_cli._task_settings import TaskSettings
from ospo_cli._yaml import yaml_value

__all__ = ["PRESETS", "option", "preset_names", "preset_path", "training_parser"]

PRESETS = Path(__file__).parent / "presets"
_DESCRIPTION = """Train a rewriting policy on a task: warm start on demonstrations, then a learner.

Without --policy a tiny causal LM is made from scratch, with a tokenizer trained on the task's own text. Writes into
the run directory: warmstart/ (the policy before the learner), policy/ (after), log.jsonl (one line a step),
curves.png, run.json; for dpo also pairs.jsonl, the rollouts it compares."""

_EXAMPLES = (
    "--preset demo --out runs/demo",
    "--env OSPO-HM-v0 --algo grpo --steps 100 --seed 1 --out runs/grpo",
)


def preset_names() -> list[str]:
    """Names of the presets, sorted."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def preset_path(name: str) -> Path:
    """The file of a preset.

    Raises:
        AgentError: There is no such preset.
    """
    if name not in preset_names():
        raise unknown("preset", name, preset_names())
    return PRESETS / f"{name}.yaml"


def option(name: str) -> str:
    """The option of a setting.

    >>> option("batch_size")
    '--batch-size'
    """
    return f"--{name.replace('_', '-')}"


def _trl(text: str) -> Any:
    """Fields of TRL's settings, written out or in a file."""
    path = Path(text)
    if path.suffix not in (".yaml", ".yml"):
        return yaml_value(text)
    try:
        return yaml_value(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise argparse.ArgumentTypeError(f"{path} cannot be read: {error}") from error


def training_parser() -> Parser:
    """The parser, whose namespace holds the options that were given and nothing else."""
    parser = Parser("train", description=_DESCRIPTION, examples=_EXAMPLES, argument_default=argparse.SUPPRESS)
    parser.add_argument("--preset", help=f"named settings, which other arguments override: {', '.join(preset_names())}")
    _add_task(parser.add_argument_group("task"))
    learners = "; ".join(f"{name}: {learner.about}" for name, learner in LEARNERS.items())
    _add(parser, "algo", f"learner: {learners}", choices=LEARNERS)
    _add(parser, "steps", "optimiser steps of the learner")
    _add(parser, "seed", "seed of initial weights, order of prompts and sampling")
    _add(parser, "batch_size", "rollouts a step, of all processes; with sft: examples")
    _add(parser, "group_size", "rollouts of one prompt")
    _add(parser, "learning_rate", "learning rate of the learner, constant after its warm-up")
    _add(parser, "warmup_steps", "steps over which the learning rate rises from 0", type=int)
    _add(parser, "max_completion_length", "bound on the tokens of a completion")
    _add(parser, "temperature", "temperature of sampling during training")
    _add(parser, "loss_type", "TRL's loss; luspo with grpo only", choices=LOSS_TYPES)
    _add(parser, "kl", "weight of the KL divergence from the warm start, TRL's beta", type=float)
    _add(parser, "num_iterations", "optimiser steps on the same rollouts", type=int)
    _add(parser, "gradient_accumulation", "parts of a step's batch, to save memory")
    _add(parser, "warm_start_epochs", "passes over the demonstrations; 0 skips them")
    _add(parser, "warm_start_learning_rate", "peak learning rate of the warm start, which falls linearly to 0")
    _add_policy(parser.add_argument_group("policy"))
    _add_evaluation(parser.add_argument_group("evaluation during training"))
    _add_credit(parser.add_argument_group("credit, of --algo ospo only"))
    group = parser.add_argument_group("TRL")
    group.add_argument(
        "--trl",
        type=_trl,
        metavar="YAML",
        help="further fields of TRL's own settings by their names there, such as '{weight_decay: 0.1, report_to: "
        "[tensorboard]}', or a YAML file of them; lora_target_modules and its like are of adapters",
    )
    _add_files(parser.add_argument_group("run directory"))
    return parser


def _add_task(group: Any) -> None:
    defaults = TaskSettings(env="")
    group.add_argument("--env", help="environment id, for example OSPO-ESCI-v0 (here or in the preset)")
    group.add_argument("--data", type=path_text, help="prepared directory; none means the embedded sample")
    group.add_argument("--retriever", help=f"retriever that ranks during training (default: {defaults.retriever})")
    group.add_argument(
        "--reward-retrievers",
        type=retriever_names,
        metavar="NAMES",
        help="retrievers whose metrics the reward is the mean of, separated by commas (default: --retriever alone)",
    )
    group.add_argument(
        "--contrast",
        type=int,
        metavar="K",
        help="take off the mean reward of the same text on K other training queries, so that words which fit every "
        f"query earn nothing (default: {RewardSettings().contrast}); evaluations report the metric itself",
    )
    group.add_argument("--metric", help=f"metric that is the reward (default: {defaults.metric})")
    group.add_argument("--max-words", type=int, help=MAX_WORDS_HELP)
    add_modes(group)


def _add_policy(group: Any) -> None:
    _add(group, "policy", "directory or hub id of a causal LM to start from, instead of a new tiny one", type=str)
    _add(group, "bare_prompts", "send a foreign model the prompt alone, without instruction and answer tags")
    _add(group, "lora_rank", "rank of the adapters to train; 0 trains all weights")
    _add(group, "lora_alpha", "scale of the adapters, over their rank")
    _add(group, "bf16", "compute in bfloat16")
    _add(group, "load_4bit", "hold the weights under adapters in 4 bits; needs a GPU and bitsandbytes")
    _add(group, "activation_checkpointing", "compute activations twice, to save memory")
    _add(group, "vllm", "draw rollouts with vLLM, in this one of TRL's modes", choices=VLLM_MODES)


def _add_evaluation(group: Any) -> None:
    what = "steps between greedy evaluations on validation prompts, in the metric of the run; 0 makes none"
    _add(group, "eval_steps", what)
    _add(group, "eval_prompts", "validation prompts of an evaluation, always the same")
    _add(group, "patience", "evaluations in a row without a new best after which training stops; 0 never stops it")
    _add(
        group,
        "keep",
        "policy that policy/ holds; the best is chosen by the evaluations, of equals the earliest",
        choices=KEPT,
    )


def _add_credit(group: Any) -> None:
    what = "players of the game: words, phrases, sentences, or words-in-phrases, which is the default of owen"
    _add(group, "segmenter", what, type=str)
    _add(group, "solution", "solution of the game: sampled_shapley, shapley, owen, myerson, ...", type=str)
    _add(group, "redistribution", "way from credit to tokens: additive, signed, prop, ...", type=str)
    for name in ("solution", "redistribution"):
        what = f"settings of the {name}, such as '{{width: 8}}'"
        group.add_argument(f"--{name}-settings", type=yaml_value, metavar="YAML", help=what)
    what = "texts of a rewrite that the retriever scores at most, 0 for all; the worths of others are estimated"
    _add(group, "calls", f"{what} (default: {DEFAULT_CALLS} where coalitions are not sums of scores)", type=int)
    _add(group, "credit_separators", "lay credit on punctuation too", action=BooleanOptionalAction)


def _add_files(group: Any) -> None:
    group.add_argument("--out", type=path_text, help="run directory to write")
    group.add_argument("--overwrite", action="store_true", help="replace an earlier run in that directory")
    group.add_argument("--resume", action="store_true", help="go on with the unfinished run in that directory")
    _add(group, "save_steps", "steps between checkpoints, which are removed at the end; 0 makes none", type=int)


def _add(group: Any, name: str, about: str, **settings: Any) -> None:
    """Add the option of a training setting, of the type of its default, which stands behind the help text."""
    default, pretrained = getattr(TrainingSettings(), name), getattr(TrainingSettings(policy="trained"), name)
    others = {repr(learner.defaults[name]): key for key, learner in LEARNERS.items() if name in learner.defaults}
    shown = str(default)
    for value, learner in others.items():
        if value != repr(default):
            shown += f"; {learner}: {value}"
    if pretrained != default and name != "policy":
        shown += f"; with --policy: {'a tenth of the steps' if name == 'warmup_steps' else pretrained}"
    if isinstance(default, bool):
        settings.setdefault("action", BooleanOptionalAction)
    elif "choices" not in settings:
        settings.setdefault("type", type(default))
    hidden = default is None or default is False
    group.add_argument(option(name), help=about if hidden else f"{about} (default: {shown})", **settings)

"""Train an agent of Stable-Baselines3 on a task through numeric views of it.

The agent sees the prompt as a vector (--encoder) and writes a rewrite out of phrases of the catalogue (--actions), for
the gain in the metric over the raw query. Writes into the run directory: policy/ (model.zip, and views.json, which says
what its numbers mean), log.jsonl, curves.png, run.json. `ospo evaluate --policy` takes the run.
"""

import math
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path

from ospo_agents import AgentError
from ospo_agents.training.run_directory import check_out
from ospo_cli._cli import MAX_WORDS_HELP, Parser
from ospo_cli._outputs import check_directory
from ospo_cli._sb3_settings import ACTIONS, ALGOS, PHRASES, SETTINGS, STEPS
from ospo_cli._yaml import yaml_value

__all__ = ["main", "parse"]

_EXAMPLES = (
    "--env OSPO-ESCI-v0 --out runs/ppo",
    "--env OSPO-HM-v0 --algo dqn --phrases 64 --steps 50000 --out runs/dqn",
)


def parse(argv: Sequence[str] | None) -> Namespace:
    """The arguments, checked and filled in."""
    parser = Parser("train-sb3", description=__doc__, examples=_EXAMPLES)
    parser.add_argument("--env", required=True, help="environment id, for example OSPO-ESCI-v0")
    parser.add_argument("--data", type=Path, help="prepared directory (default: the embedded sample)")
    parser.add_argument("--retriever", default="bm25", help="retriever that ranks during training")
    parser.add_argument("--metric", default="nDCG@10", help="metric that is the reward")
    parser.add_argument("--max-words", type=int, help=MAX_WORDS_HELP)
    parser.add_argument(
        "--algo",
        choices=ALGOS,
        default="ppo",
        help=f"algorithm: {'; '.join(f'{name}: {about}' for name, about in ALGOS.items())}",
    )
    parser.add_argument(
        "--steps", type=int, help=f"steps of the environments, all together (default: {_listed(STEPS)})"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of initial weights, order of prompts and exploration")
    parser.add_argument(
        "--encoder", default="lsa?dimensions=256", help="retriever whose vectors of the prompts are observed"
    )
    parser.add_argument(
        "--actions",
        choices=ACTIONS,
        help="kind of actions: slots for phrases, a switch for each phrase, or one of some templates "
        "(default: multidiscrete; dqn: templates)",
    )
    parser.add_argument(
        "--phrases", type=int, help=f"phrases of the catalogue to choose from (default: {_listed(PHRASES)})"
    )
    parser.add_argument("--most", type=int, help="most phrases in a rewrite, not with templates (default: 3)")
    parser.add_argument(
        "--template", help="text around the phrases, not with templates (default: '{query}, {phrases}')"
    )
    parser.add_argument(
        "--settings",
        type=yaml_value,
        default={},
        metavar="YAML",
        help="settings of the algorithm, such as '{n_steps: 64}'",
    )
    parser.add_argument("--out", type=Path, required=True, help="run directory to write")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier run in that directory")
    arguments = parser.parse_args(argv)
    _fill(arguments)
    return arguments


def main(argv: Sequence[str] | None) -> None:
    """Train and write the run directory."""
    arguments = parse(argv)
    from ospo_cli._sb3_training import train_agent  # slow to import, and not needed for --help

    train_agent(arguments)


def _fill(arguments: Namespace) -> None:
    """Defaults of the algorithm, and what its actions do not have."""
    arguments.actions = arguments.actions or ("templates" if arguments.algo == "dqn" else ACTIONS[0])
    if arguments.algo == "dqn" and arguments.actions != "templates":
        raise AgentError(f"--actions {arguments.actions}: dqn chooses one of some actions; use templates")
    for name, default in {"most": 3, "template": "{query}, {phrases}"}.items():
        if arguments.actions != "templates":
            setattr(arguments, name, default if getattr(arguments, name) is None else getattr(arguments, name))
        elif getattr(arguments, name) is not None:
            raise AgentError(f"--{name} is of --actions {' and '.join(ACTIONS[:-1])}; leave it out with templates")
    arguments.steps = STEPS[arguments.algo] if arguments.steps is None else arguments.steps
    arguments.phrases = PHRASES[arguments.algo] if arguments.phrases is None else arguments.phrases
    for name in ("steps", "phrases"):
        if not 1 <= getattr(arguments, name) < 2**31:
            raise AgentError(f"--{name}: expected at least 1, got {getattr(arguments, name)}")
    if not 0 <= arguments.seed < 2**31:
        raise AgentError(f"--seed: expected 0 to {2**31 - 1}, got {arguments.seed}")
    if not isinstance(arguments.settings, dict):
        raise AgentError(f"--settings: expected a mapping such as '{{n_steps: 64}}', got {arguments.settings!r}")
    arguments.settings = SETTINGS[arguments.algo] | arguments.settings
    rate = arguments.settings["learning_rate"]
    if not isinstance(rate, int | float) or not math.isfinite(rate) or rate <= 0:
        raise AgentError(f"--settings: expected learning_rate as a finite number above 0, got {rate!r}")
    check_out(arguments.out, arguments.overwrite)
    check_directory("--out", arguments.out)


def _listed(numbers: Mapping[str, int]) -> str:
    """Defaults of the algorithms, for the help."""
    return ", ".join(f"{name}: {number:,}" for name, number in numbers.items())

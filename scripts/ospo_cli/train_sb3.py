"""Train an agent of Stable-Baselines3 on a task through numeric views of it.

The agent sees the prompt as a vector (--encoder) and writes a rewrite out of phrases of the catalogue (--actions), for
the gain in the metric over the raw query. Writes into the run directory: policy/ (model.zip, and views.json, which says
what its numbers mean), log.jsonl, curves.png, run.json. `ospo evaluate --policy` takes the run.
"""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ospo_agents.training.run_directory import check_out
from ospo_cli._cli import MAX_WORDS_HELP, Parser, command_line, path_text
from ospo_cli._modes import add_modes
from ospo_cli._outputs import check_directory
from ospo_cli._sb3_settings import ACTIONS, ALGOS, PHRASES, STEPS, AgentSettings
from ospo_cli._task_settings import TaskSettings
from ospo_cli._yaml import yaml_value

__all__ = ["main", "parse"]

_EXAMPLES = (
    "--env OSPO-ESCI-v0 --out runs/ppo",
    "--env OSPO-HM-v0 --algo dqn --phrases 64 --steps 50000 --out runs/dqn",
)


@dataclass(frozen=True)
class TrainAgentCommand:
    """One command line: agent, task, run directory, and whether to replace an earlier run there."""

    agent: AgentSettings
    task: TaskSettings
    out: Path
    overwrite: bool

    def recorded(self) -> dict[str, Any]:
        """All arguments by name, in the order of the alphabet, as ``run.json`` holds them."""
        files = {"out": os.fspath(self.out), "overwrite": self.overwrite}
        return dict(sorted({**self.agent.as_json(), **self.task.as_json(), **files}.items()))


def parse(argv: Sequence[str] | None) -> TrainAgentCommand:
    """The settings, checked and filled in."""
    options = vars(_parser().parse_args(argv))
    if options.get("compose") == "append" and AgentSettings.of(options).template is not None:
        options.setdefault("template", "{phrases}")  # the query is sent anyway
    command = TrainAgentCommand(
        AgentSettings.of(options),
        TaskSettings.of(options),
        Path(options["out"]),
        options.get("overwrite", False),
    )
    command.agent.check(lambda name: f"--{name.replace('_', '-')}")
    check_directory("--out", command.out)
    check_out(command.out, command.overwrite)
    return command


def main(argv: Sequence[str] | None) -> None:
    """Train and write the run directory."""
    command = parse(argv)
    from ospo_cli._sb3_training import train_agent  # slow to import, and not needed for --help

    train_agent(
        command.agent,
        command.task,
        command.out,
        arguments=command.recorded(),
        command=command_line("train-sb3", argv),
        overwrite=command.overwrite,
    )


def _parser() -> Parser:
    agent, task = AgentSettings(), TaskSettings(env="")
    parser = Parser("train-sb3", description=__doc__, examples=_EXAMPLES, argument_default=argparse.SUPPRESS)
    parser.add_argument("--env", required=True, help="environment id, for example OSPO-ESCI-v0")
    parser.add_argument("--data", type=path_text, help="prepared directory (default: the embedded sample)")
    parser.add_argument("--retriever", help=f"retriever that ranks during training (default: {task.retriever})")
    parser.add_argument("--metric", help=f"metric that is the reward (default: {task.metric})")
    parser.add_argument("--max-words", type=int, help=MAX_WORDS_HELP)
    add_modes(parser)
    named = "; ".join(f"{name}: {what}" for name, what in ALGOS.items())
    parser.add_argument("--algo", choices=ALGOS, help=f"algorithm: {named} (default: {agent.algo})")
    parser.add_argument(
        "--steps", type=int, help=f"steps of the environments, all together (default: {_listed(STEPS)})"
    )
    parser.add_argument(
        "--seed", type=int, help="seed of initial weights, order of prompts and exploration (default: 0)"
    )
    parser.add_argument("--encoder", help=f"retriever whose vectors are observed (default: {agent.encoder})")
    parser.add_argument(
        "--actions",
        choices=ACTIONS,
        help="kind of the actions: slots for phrases, a switch a phrase, or at most one phrase "
        f"(default: {agent.actions}; dqn: templates)",
    )
    parser.add_argument(
        "--phrases", type=int, help=f"phrases of the catalogue to choose from (default: {_listed(PHRASES)})"
    )
    parser.add_argument("--most", type=int, help=f"phrases in a rewrite, not with templates (default: {agent.most})")
    parser.add_argument(
        "--template",
        help=f"place of the phrases, not with templates (default: '{agent.template}'; '{{phrases}}' with --compose "
        "append)",
    )
    parser.add_argument(
        "--settings", type=yaml_value, metavar="YAML", help="settings of the algorithm, such as '{n_steps: 64}'"
    )
    parser.add_argument("--out", type=path_text, required=True, help="run directory to write")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier run in that directory")
    return parser


def _listed(values: Any) -> str:
    return ", ".join(f"{name}: {value:,}" for name, value in values.items())

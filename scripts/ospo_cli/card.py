"""Write a model card for the policy of a run: RUN/policy/README.md, which a model hub shows; --push uploads the policy.

The card says what the policy was trained on, under which retriever and metric, and how to use it, and has the matrix of
`ospo evaluate` with its intervals. Nothing leaves the machine without --push, which takes the token that
`hf auth login` keeps.
"""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from ospo_agents import AgentError
from ospo_cli._cli import Parser
from ospo_cli._terminal import say

__all__ = ["main", "parse"]

_EXAMPLES = (
    "--run runs/demo --evaluation runs/demo/metrics.json",
    "--run runs/lora --evaluation runs/lora/metrics.json --push OWNER/NAME --private",
)


def parse(argv: Sequence[str] | None) -> Namespace:
    """The arguments, checked."""
    parser = Parser("card", description=__doc__, examples=_EXAMPLES)
    parser.add_argument("--run", type=Path, required=True, help="directory of a finished run")
    parser.add_argument("--evaluation", type=Path, help="file that ospo evaluate --json wrote, for the matrix")
    parser.add_argument("--push", metavar="OWNER/NAME", help="model repository of the hub to upload the policy to")
    parser.add_argument("--private", action="store_true", help="make that repository private if it is new")
    arguments = parser.parse_args(argv)
    if arguments.push is not None and len(arguments.push.split("/")) != 2:
        raise AgentError(f"--push: expected OWNER/NAME, got {arguments.push!r}")
    if arguments.private and arguments.push is None:
        parser.error("--private is for the repository of --push; give both or none")
    return arguments


def main(argv: Sequence[str] | None) -> None:
    """Read the run and its evaluation, write the card, upload if asked."""
    arguments = parse(argv)
    # Slow to import, and not needed for --help.
    from ospo_agents.files import write_atomically
    from ospo_cli._card import model_card
    from ospo_cli._report.evaluation import read_evaluation
    from ospo_cli._report.runs import read_runs

    (run,) = read_runs([arguments.run])
    evaluation = None if arguments.evaluation is None else read_evaluation(arguments.evaluation, run)
    policy = arguments.run / "policy"
    if not policy.is_dir():
        raise AgentError(f"--run: expected the policy of the run in {policy}, but it is not there")
    card = model_card(run.manifest, evaluation, arguments.push)
    write_atomically(policy / "README.md", card.encode())
    say(f"Wrote {policy / 'README.md'}")
    if arguments.push is not None:
        from ospo_cli._card import push

        say(f"Uploaded {policy} to {push(policy, arguments.push, private=arguments.private)}")

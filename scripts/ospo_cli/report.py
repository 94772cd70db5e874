"""A run as one page to look at: RUN/report.html, self-contained, without network, with a filter as its only script.

The first screen answers: the metric of the raw query and of the policy on held-out queries, with the gain's interval,
wins, ties and losses, under the retriever of training and under others, the words that the policy writes, and the share
of completions cut at their limit. Then policies under retrievers with intervals, gains of single queries, phrases that
help and hurt, the best, the median and the worst queries with the credit of each phrase and the rankings, and learning
curves. All of it but the curves is of the file that `ospo evaluate --json` writes. Further runs join the learning
curves; those that differ from each other in the seed alone become one curve with an interval over seeds.
"""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from ospo_agents import AgentError
from ospo_cli._cli import Parser, command_line
from ospo_cli._outputs import check_file

__all__ = ["main", "parse"]

_EXAMPLES = (
    "--run runs/demo --evaluation runs/demo/metrics.json",
    "--run runs/seed0 runs/seed1 runs/seed2 --examples 3 --out three-seeds.html",
)


def parse(argv: Sequence[str] | None) -> Namespace:
    """The arguments, checked."""
    parser = Parser("report", description=__doc__, examples=_EXAMPLES)
    parser.add_argument("--run", nargs="+", type=Path, required=True, help="run directories; the page is of the first")
    parser.add_argument(
        "--evaluation", type=Path, help="file that ospo evaluate --json wrote, of this run among others"
    )
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--queries", nargs="+", metavar="ID", help="ids of the queries to show, of any split")
    chosen.add_argument(
        "--examples",
        type=int,
        default=9,
        help="number of queries to show otherwise: the best, the median and the worst of the evaluation, a third each; "
        "without one, queries drawn with --seed, from the test split if it has any",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of that draw")
    parser.add_argument(
        "--solution", help="solution of the game (default: shapley up to 12 segments, else sampled_shapley)"
    )
    parser.add_argument("--data", type=Path, help="prepared directory, if it has moved since training")
    parser.add_argument("--env", help="environment id of the run, if its run.json may not choose it")
    parser.add_argument("--retriever", help="retriever of the run, if its run.json may not choose it")
    parser.add_argument("--out", type=Path, help="HTML file to write (default: report.html in the first run)")
    arguments = parser.parse_args(argv)
    if arguments.examples < 1:
        raise AgentError(f"--examples: expected at least 1, got {arguments.examples}")
    if arguments.seed < 0:
        raise AgentError(f"--seed: expected at least 0, got {arguments.seed}")
    arguments.out = arguments.out or arguments.run[0] / "report.html"
    check_file("--out", arguments.out)
    return arguments


def main(argv: Sequence[str] | None) -> None:
    """Read the runs, explain some rewrites, write the page."""
    arguments = parse(argv)
    from ospo_cli._report.report import write_report  # slow to import, and not needed for --help

    write_report(arguments, command_line("report", argv))

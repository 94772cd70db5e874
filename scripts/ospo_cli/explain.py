"""Credit of the segments of a text typed by hand, and the ranking before and after.

Credit is in the metric's unit; with --compose append it sums to the gain over the raw query. Without --solution it is
exact (`shapley`) up to 12 segments and estimated (`sampled_shapley`, with standard errors) beyond; what was used is
printed. Colours only repeat what the numbers say.
"""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from ospo_agents import AgentError
from ospo_cli._cli import MAX_WORDS_HELP, Parser
from ospo_cli._modes import add_modes
from ospo_cli._outputs import check_file

__all__ = ["main", "parse"]

_EXAMPLES = (
    "--query-id shopping-q00534 --text 'red wool coat, warm'",
    "--env OSPO-HM-v0 --retriever lsa --query-id fashion-q00500 --text TEXT --segmenter words --json explanation.json",
)


def parse(argv: Sequence[str] | None) -> Namespace:
    """The arguments, checked."""
    parser = Parser("explain", description=__doc__, examples=_EXAMPLES)
    parser.add_argument("--env", default="OSPO-ESCI-v0", help="environment id")
    parser.add_argument("--data", type=Path, help="prepared directory (default: the embedded sample)")
    parser.add_argument("--retriever", default="bm25", help="retriever that ranks")
    parser.add_argument("--metric", default="nDCG@10", help="metric that says what a text is worth")
    parser.add_argument(
        "--candidates",
        default="pool",
        choices=("pool", "corpus"),
        help="documents to rank: the query's pool, or the whole corpus",
    )
    parser.add_argument("--max-words", type=int, help=MAX_WORDS_HELP)
    add_modes(parser)
    parser.add_argument("--query-id", help="id of the query, of any split; without it the error names some")
    parser.add_argument("--text", required=True, help="rewrite to explain")
    parser.add_argument(
        "--segmenter", default="phrases", help="segments that share the credit: words, phrases or sentences"
    )
    parser.add_argument(
        "--solution", help="solution of the game: shapley, sampled_shapley, owen, ... (default: see above)"
    )
    parser.add_argument("--top", type=int, default=5, help="number of documents to show of each ranking")
    parser.add_argument(
        "--color",
        default="auto",
        choices=("auto", "always", "never"),
        help="when to print colours; auto needs a terminal and heeds NO_COLOR",
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="JSON file to write; - prints the JSON instead of the text"
    )
    arguments = parser.parse_args(argv)
    if arguments.top < 1:
        raise AgentError(f"--top: expected at least 1, got {arguments.top}")
    if arguments.json != Path("-"):
        check_file("--json", arguments.json)
    return arguments


def main(argv: Sequence[str] | None) -> None:
    """Explain, print, write."""
    arguments = parse(argv)
    from ospo_cli._explanation_page import show_explanation  # slow to import, and not needed for --help

    show_explanation(arguments)

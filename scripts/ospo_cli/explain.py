"""Credit of the segments of a text typed by hand, and the ranking before and after.

Credit is in the metric's unit; with --compose append it sums to the gain over the raw query. Without --solution it is
exact (`shapley`) up to 12 segments and estimated (`sampled_shapley`, with standard errors) beyond; what was used is
printed. Colours only repeat what the numbers say.

With --compare A B two solutions of the game share out the same segments, side by side, in one --text or in the rewrites
that a --policy writes for the queries of a split; sums at the end say where they differ.
"""

import math
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from ospo_agents import AgentError
from ospo_cli._cli import MAX_WORDS_HELP, Parser
from ospo_cli._modes import add_modes
from ospo_cli._outputs import check_file

__all__ = ["main", "parse"]

_USUAL = "(default: that of the policy's training, else {})"
_EXAMPLES = (
    "--query-id shopping-q00534 --text 'red wool coat, warm'",
    "--policy oracle --compare shapley owen",
    "--env OSPO-HM-v0 --retriever lsa --query-id fashion-q00500 --text TEXT --segmenter words --json explanation.json",
)


def parse(argv: Sequence[str] | None) -> Namespace:
    """The arguments, checked."""
    parser = Parser("explain", description=__doc__, examples=_EXAMPLES)
    parser.add_argument("--env", default="OSPO-ESCI-v0", help="environment id")
    parser.add_argument("--data", type=Path, help="prepared directory (default: the embedded sample)")
    parser.add_argument("--retriever", default="bm25", help="retriever that ranks")
    parser.add_argument("--metric", help=f"metric that says what a text is worth {_USUAL.format('nDCG@10')}")
    parser.add_argument(
        "--candidates",
        choices=("pool", "corpus"),
        help=f"documents to rank, the query's pool or the whole corpus {_USUAL.format('pool')}",
    )
    parser.add_argument("--max-words", type=int, help=MAX_WORDS_HELP)
    add_modes(parser, "that of the policy's training, else {}")
    parser.add_argument("--query-id", help="id of the query, of any split; without it the error names some")
    parser.add_argument("--text", help="rewrite to explain")
    parser.add_argument(
        "--segmenter",
        help="segments that share the credit: words, phrases, sentences or words-in-phrases (default: phrases; of a "
        "solution with unions, such as owen, words-in-phrases)",
    )
    parser.add_argument(
        "--solution", help="solution of the game: shapley, sampled_shapley, owen, ... (default: see above)"
    )
    parser.add_argument(
        "--calls",
        type=int,
        help="texts that the retriever scores at most, the worths of others being estimated (default: all); needless "
        "where coalitions are sums of scores, as with bm25",
    )
    group = parser.add_argument_group("comparison of two solutions")
    group.add_argument("--compare", nargs=2, metavar=("A", "B"), help="solutions to compare, such as shapley owen")
    group.add_argument("--policy", help="policy whose rewrites are compared, by the names of ospo evaluate")
    group.add_argument("--split", default="test", help="split of the policy's queries: train, validation or test")
    group.add_argument("--queries", type=int, default=100, help="number of queries, the first of the split")
    group.add_argument("--temperature", type=float, default=0.0, help="temperature of sampling; 0 decodes greedily")
    group.add_argument("--seed", type=int, default=0, help="seed of the policy's sampling")
    group.add_argument("--shown", type=int, default=5, help="number of rewrites to print, those that differ most")
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
    _check(parser, arguments)
    if arguments.top < 1:
        raise AgentError(f"--top: expected at least 1, got {arguments.top}")
    if arguments.json != Path("-"):
        check_file("--json", arguments.json)
    return arguments


def main(argv: Sequence[str] | None) -> None:
    """Explain, print, write."""
    arguments = parse(argv)
    if arguments.compare is not None:
        from ospo_cli._comparison import show_comparison

        show_comparison(arguments)
        return
    from ospo_cli._explanation_page import show_explanation  # slow to import, and not needed for --help

    show_explanation(arguments)


def _check(parser: Parser, arguments: Namespace) -> None:
    """Check that what goes together is there, and the numbers of a comparison."""
    if arguments.compare is None and (arguments.policy is not None or arguments.text is None):
        parser.error("expected --text, the rewrite to explain, or --compare with two solutions")
    if arguments.compare is not None:
        if (arguments.policy is None) == (arguments.text is None):
            parser.error("--compare: expected --policy, whose rewrites are compared, or one --text; give one of them")
        if arguments.solution is not None:
            parser.error("--compare names the two solutions; leave --solution out")
        if arguments.calls is not None:
            parser.error("--compare scores all texts; leave --calls out")
    for name, least in (("queries", 1), ("shown", 0), ("calls", 1)):
        if getattr(arguments, name) is not None and getattr(arguments, name) < least:
            raise AgentError(f"--{name}: expected at least {least}, got {getattr(arguments, name)}")
    if not math.isfinite(arguments.temperature) or arguments.temperature < 0:
        raise AgentError(f"--temperature: expected a finite number of at least 0, got {arguments.temperature}")
    if not 0 <= arguments.seed < 2**31:
        raise AgentError(f"--seed: expected 0 to {2**31 - 1}, got {arguments.seed}")

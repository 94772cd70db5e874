"""Options of ``ospo explain`` by subject, and the checks of what goes together."""

import math
from argparse import Namespace
from pathlib import Path

from ospo_agents import AgentError
from ospo_cli._cli import MAX_WORDS_HELP, Parser
from ospo_cli._modes import add_modes
from ospo_cli._outputs import check_file

__all__ = [
    "add_comparison_options",
    "add_credit_options",
    "add_episode_options",
    "add_phrase_options",
    "add_task_options",
    "check_options",
]

_USUAL = "(default: that of the policy's training, else {})"
_SORTS = ("credit", "total", "queries", "helps", "hurts", "phrase")
_FEWEST = 6


def add_task_options(parser: Parser) -> None:
    """Add the options that name the task."""
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


def add_credit_options(parser: Parser) -> None:
    """Add the options that say how credit is shared out."""
    parser.add_argument(
        "--segmenter",
        help="segments that share the credit: words, phrases, sentences or words-in-phrases (default: phrases; of a "
        "solution with unions, such as owen, words-in-phrases; of an episode in turns phrases-in-turns, since the "
        "others cross lines)",
    )
    parser.add_argument(
        "--solution",
        help="solution of the game: shapley, sampled_shapley, owen, ... (default: see above; of an episode "
        "in turns owen, and sampled_owen beyond 4,096 coalitions)",
    )
    parser.add_argument(
        "--calls",
        type=int,
        help="texts that the retriever scores at most, the worths of others being estimated (default: all); needless "
        "where coalitions are sums of scores, as with bm25",
    )


def add_phrase_options(parser: Parser) -> None:
    """Add the options of a file of rewrites."""
    group = parser.add_argument_group("phrases of a file of rewrites")
    group.add_argument("--rewrites", type=Path, metavar="FILE", help="file of rewrites to explain together")
    group.add_argument(
        "--free", action="store_true", help="take the file's queries as free ones, which have no judgements"
    )
    group.add_argument(
        "--minimum-queries",
        type=int,
        default=_FEWEST,
        metavar="N",
        help="queries that a phrase of the table stands in at least; with fewer than 6 no sign test can come below .05",
    )
    group.add_argument(
        "--sort",
        default="total",
        choices=_SORTS,
        help="order of the table of phrases: mean credit, credit summed over queries, number of queries, shares of "
        "queries that it helps or hurts, or alphabet",
    )
    group.add_argument("--csv", type=Path, metavar="FILE", help="CSV file to write with the table of phrases")


def add_comparison_options(parser: Parser) -> None:
    """Add the options of a comparison."""
    group = parser.add_argument_group("comparison of two solutions")
    group.add_argument("--compare", nargs=2, metavar=("A", "B"), help="solutions to compare, such as shapley owen")
    group.add_argument("--policy", help="policy whose rewrites are explained, by the names of ospo evaluate")
    group.add_argument("--queries", type=int, default=100, help="number of queries, the first of the split")
    group.add_argument("--temperature", type=float, default=0.0, help="temperature of sampling; 0 decodes greedily")
    group.add_argument("--seed", type=int, default=0, help="seed of the policy's sampling")


def add_episode_options(parser: Parser) -> None:
    """Add the options of an episode in turns."""
    group = parser.add_argument_group("episode in turns")
    group.add_argument(
        "--episode",
        type=Path,
        metavar="FILE",
        help="text file with the actions of an episode, one a line, as the environment takes them: a search, with or "
        "without 'search: ' before it, and maybe 'answer' at the end; a blank line is a search and has its price",
    )
    group.add_argument("--agent", choices=("query", "feedback"), help="scripted agent that plays the episode")
    group.add_argument("--max-turns", type=int, help="searches of an episode at most (default: 4)")
    group.add_argument("--price", type=float, help="price of a search in the metric's unit (default: 0.02)")


def check_options(parser: Parser, arguments: Namespace) -> None:
    """Check that what goes together is there, the numbers, and the files to write.

    Raises:
        AgentError: A number is out of range, or a file cannot be written.
    """
    _check_together(parser, arguments)
    for name, least in (("queries", 1), ("shown", 0), ("calls", 1), ("top", 1), ("minimum_queries", 2)):
        if getattr(arguments, name) is not None and getattr(arguments, name) < least:
            option = f"--{name.replace('_', '-')}"
            raise AgentError(f"{option}: expected at least {least}, got {getattr(arguments, name)}")
    if not math.isfinite(arguments.temperature) or arguments.temperature < 0:
        raise AgentError(f"--temperature: expected a finite number of at least 0, got {arguments.temperature}")
    if not 0 <= arguments.seed < 2**31:
        raise AgentError(f"--seed: expected 0 to {2**31 - 1}, got {arguments.seed}")
    check_file("--csv", arguments.csv)
    if arguments.json != Path("-"):
        check_file("--json", arguments.json)
    if arguments.compare is not None and arguments.policy is not None and arguments.split is None:
        arguments.split = "test"


def _check_together(parser: Parser, arguments: Namespace) -> None:
    """Leave with an error of the command line unless one thing to explain is named, with the options that it has."""
    if arguments.episode is not None or arguments.agent is not None:
        _check_episode(parser, arguments)
        return
    if arguments.max_turns is not None or arguments.price is not None:
        parser.error("--max-turns and --price are for an episode in turns; give it by --episode, or name an --agent")
    if arguments.rewrites is not None:
        _check_rewrites(parser, arguments)
    elif arguments.free or arguments.csv is not None:
        parser.error(f"{'--free' if arguments.free else '--csv'} is for the rewrites of a file; give it by --rewrites")
    elif arguments.compare is not None:
        _check_comparison(parser, arguments)
    elif (arguments.policy is None) == (arguments.text is None):
        parser.error(
            "expected --text, the rewrite to explain, or --compare with two solutions, or --rewrites with a file, or "
            "the --policy that writes the rewrite"
        )
    if arguments.query is not None and arguments.query_id is not None:
        parser.error("--query is a free query and --query-id one of the data set; give one of them")
    if (arguments.free or arguments.query is not None) and arguments.candidates == "pool":
        parser.error("a free query has no pool: the corpus is ranked; leave --candidates out")


def _check_episode(parser: Parser, arguments: Namespace) -> None:
    if arguments.episode is not None and arguments.agent is not None:
        parser.error("--episode is an episode and --agent plays one; give one of them")
    others = ("text", "query", "rewrites", "compare", "policy", "calls", "csv", "split")
    for name in [name for name in others if getattr(arguments, name) is not None]:
        parser.error(f"an episode in turns is explained by itself; leave --{name} out")
    if arguments.free:
        parser.error("an episode in turns is explained by itself; leave --free out")
    for name in ("shown", "temperature", "minimum_queries", "sort", "queries", "seed"):
        if getattr(arguments, name) != parser.get_default(name):
            parser.error(f"an episode in turns has no use for --{name.replace('_', '-')}; leave it out")


def _check_rewrites(parser: Parser, arguments: Namespace) -> None:
    others = [name for name in ("text", "query", "query_id", "compare", "policy") if getattr(arguments, name)]
    if others:
        option = f"--{others[0].replace('_', '-')}"
        parser.error(f"--rewrites explains the queries and texts of its file; leave {option} out")
    if arguments.free and arguments.split is not None:
        parser.error("--free: the queries of the file are of no split; leave --split out")


def _check_comparison(parser: Parser, arguments: Namespace) -> None:
    if (arguments.policy is None) == (arguments.text is None):
        parser.error("--compare: expected --policy, whose rewrites are compared, or one --text; give one of them")
    if arguments.solution is not None:
        parser.error("--compare names the two solutions; leave --solution out")
    if arguments.calls is not None:
        parser.error("--compare scores all texts; leave --calls out")
    if arguments.query is not None:
        parser.error("--compare: a free query has no judgements to compare by; leave --query out")

"""Credit of the segments of rewrites: of a text typed by hand, or of all rewrites of a file.

A text is shown with the ranking before and after. Credit is in the metric's unit; with --compose append it sums to the
gain over the raw query. Without --solution it is exact (`shapley`) up to 12 segments and estimated (`sampled_shapley`,
with standard errors) beyond; what was used is printed. Colours only repeat what the numbers say.

With --rewrites FILE all rewrites of a file are explained: whether they gain over the raw query, which phrases help and
which hurt over all queries, the queries that lose most, a stop-list and a keep-list. The file is Parquet, CSV, TSV or
JSON Lines with query_id or query, and text or rewrite. Its rewrites are sent behind the query unless --compose says
otherwise.

With --policy the rewrite is the policy's own, for a query of the data set or a free one.

With --query TEXT, or --rewrites FILE --free, queries need no judgements: the target is the top of the whole rewrite's
own ranking of the corpus, so that credit says which phrase causes it.

With --compare A B two solutions of the game share out the same segments, side by side, in one --text or in the rewrites
that a --policy writes for the queries of a split; sums at the end say where they differ.

With --episode FILE, or an --agent that plays one, the searches of an episode in turns are explained, a line each: Owen
values of phrases whose unions are the turns. They sum to the reward, the best metric less a price a search.
"""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from ospo_cli._cli import Parser
from ospo_cli._explain_options import (
    add_comparison_options,
    add_credit_options,
    add_episode_options,
    add_phrase_options,
    add_task_options,
    check_options,
)

__all__ = ["main", "parse"]

_EXAMPLES = (
    "--query-id shopping-q00534 --text 'red wool coat, warm'",
    "--data runs/data/own --rewrites rewrites.csv --csv phrases.csv --json phrases.json",
    "--policy runs/own --query 'led lite bulb'",
    "--policy oracle --compare shapley owen",
    "--env OSPO-Search-v0 --query-id shopping-q00534 --agent feedback",
    "--env OSPO-HM-v0 --retriever lsa --query-id fashion-q00500 --text TEXT --segmenter words --json explanation.json",
)


def parse(argv: Sequence[str] | None) -> Namespace:
    """The arguments, checked."""
    parser = Parser("explain", description=__doc__, examples=_EXAMPLES)
    add_task_options(parser)
    parser.add_argument("--query-id", help="id of the query, of any split; without it the error names some")
    parser.add_argument(
        "--query",
        metavar="TEXT",
        help="free query without judgements; credit then says which segment causes the ranking",
    )
    parser.add_argument("--text", help="rewrite to explain")
    add_credit_options(parser)
    add_phrase_options(parser)
    add_comparison_options(parser)
    add_episode_options(parser)
    parser.add_argument("--split", help="split of the queries (default: test with --policy, all with --rewrites)")
    parser.add_argument("--shown", type=int, default=5, help="number of rewrites to print, and of phrases at each end")
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
    check_options(parser, arguments)
    return arguments


def main(argv: Sequence[str] | None) -> None:
    """Explain, print, write."""
    arguments = parse(argv)
    # Slow to import, and not needed for --help.
    if arguments.episode is not None or arguments.agent is not None:
        from ospo_cli._episode_page import show_episode

        show_episode(arguments)
    elif arguments.rewrites is not None:
        from ospo_cli._phrases_page import show_phrases

        show_phrases(arguments)
    elif arguments.compare is not None:
        from ospo_cli._comparison import show_comparison

        show_comparison(arguments)
    else:
        from ospo_cli._explanation_page import show_explanation

        show_explanation(arguments)

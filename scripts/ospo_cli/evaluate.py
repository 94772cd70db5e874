"""Evaluate policies on a split under one or more retrievers: one matrix, with intervals.

A policy is a run directory, a policy directory, a hub id (with a slash), a file of rewrites (stored by --rewrites, or
another program's JSON Lines, CSV, TSV or Parquet with query_id or query, and text or rewrite), openai:MODEL (a chat
model at $OPENAI_BASE_URL with the key $OPENAI_API_KEY), or a reference: query (the raw query as rewrite), prf (the
query expanded by pseudo-relevance feedback), constant (by the same words for all queries, chosen on training queries),
association (by words that training judgements associate with its own), spelling (its unknown words corrected), oracle,
random. best-of:G:POLICY samples G rewrites a query from a policy and keeps the one that earns most under the retriever
of its training: it reads the judgements of the evaluated queries, so it shows what sampling holds and is no policy to
deploy. A trained policy or a chat model writes each rewrite once; every retriever then ranks the same rewrites. Gains
are over the raw query, paired by query. Stored rewrites and runs bring the cap, the candidates, the metric and the text
to send (--compose and the two options after it) that they were made for; another program's rewrites are sent behind the
query, whole.

--guard shows what a rule without judgements would do that ospo serve applies on demand: the raw query is sent where
fewer than a share of its first 10 documents are among the first 10 of the rewrite. The share is chosen on the
policy's rewrites of validation queries, unless it is given.
"""

import math
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from ospo_agents import AgentError
from ospo_cli._cli import Parser, retriever_names
from ospo_cli._modes import add_modes
from ospo_cli._outputs import check_directory, check_file

__all__ = ["main", "parse"]

_EXAMPLES = (
    "--env OSPO-ESCI-v0 --policy query prf oracle",
    "--env OSPO-ESCI-v0 --split test --policy query runs/demo --retrievers bm25,lsa --json runs/demo/metrics.json",
)


def parse(argv: Sequence[str] | None) -> Namespace:
    """The arguments, checked."""
    parser = Parser("evaluate", description=__doc__, examples=_EXAMPLES)
    parser.add_argument("--env", required=True, help="environment id, for example OSPO-ESCI-v0")
    parser.add_argument("--data", type=Path, help="prepared directory (default: the embedded sample)")
    parser.add_argument("--split", default="test", help="split of the queries: train, validation or test")
    parser.add_argument("--policy", nargs="+", required=True, help="policies to evaluate, one or more")
    what = "retrievers that rank, separated by commas"
    parser.add_argument("--retrievers", type=retriever_names, default="bm25,lsa", help=what)
    parser.add_argument(
        "--metric",
        help="metric of the first two tables (default: as in the policies' training, else nDCG@10)",
    )
    parser.add_argument(
        "--max-words",
        type=int,
        help="words of a rewrite that count (default: as in the policies' training, else the environment's own cap)",
    )
    parser.add_argument(
        "--candidates",
        choices=("pool", "corpus"),
        help="documents to rank, pool or corpus (default: as in the policies' training, else pool)",
    )
    add_modes(parser, "as in the policies' training, else {}")
    parser.add_argument("--temperature", type=float, default=0.0, help="temperature of sampling; 0 decodes greedily")
    parser.add_argument("--max-new-tokens", type=int, help="most tokens of a completion (default: as in training)")
    parser.add_argument("--seed", type=int, default=0, help="seed of sampling and of the random policy")
    parser.add_argument(
        "--encoder", help="encoder of Stable-Baselines3 policies (default: the one of training, if it is local)"
    )
    parser.add_argument(
        "--guard",
        nargs="?",
        type=float,
        const=True,
        metavar="SHARE",
        help="share of the raw query's first 10 documents that a rewrite has to keep; chosen where none is given",
    )
    parser.add_argument("--json", type=Path, help="JSON file to write with every metric, interval and gain")
    parser.add_argument("--plot", type=Path, help="PNG file to write with the means of policies as dots with intervals")
    parser.add_argument("--rewrites", type=Path, help="directory to write the trained policies' rewrites into")
    parser.add_argument("--trec", type=Path, help="directory to write TREC run and qrels files into")
    arguments = parser.parse_args(argv)
    arguments.policy = list(dict.fromkeys(arguments.policy))
    _check(arguments)
    return arguments


def main(argv: Sequence[str] | None) -> None:
    """Evaluate, print and write."""
    arguments = parse(argv)
    from ospo_cli._evaluation import evaluate  # slow to import, and not needed for --help

    evaluate(arguments)


def _check(arguments: Namespace) -> None:
    if not arguments.retrievers:
        raise AgentError("--retrievers: expected at least one name, for example bm25,lsa")
    if not math.isfinite(arguments.temperature) or arguments.temperature < 0:
        raise AgentError(f"--temperature: expected a finite number of at least 0, got {arguments.temperature}")
    if isinstance(arguments.guard, float) and not 0 <= arguments.guard <= 1:
        raise AgentError(f"--guard: expected a share in 0 to 1, got {arguments.guard}")
    if arguments.max_new_tokens is not None and arguments.max_new_tokens < 1:
        raise AgentError(f"--max-new-tokens: expected at least 1, got {arguments.max_new_tokens}")
    if not 0 <= arguments.seed < 2**31:
        raise AgentError(f"--seed: expected 0 to {2**31 - 1}, got {arguments.seed}")
    for option in ("json", "plot"):
        check_file(f"--{option}", getattr(arguments, option))
    for option in ("rewrites", "trec"):
        check_directory(f"--{option}", getattr(arguments, option))

"""Prepare a data set: official files or your own in, one directory of Parquet files and a manifest out."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ospo_cli._cli import Parser
from ospo_cli._outputs import check_directory
from ospo_cli._terminal import say

__all__ = ["main"]

_ESCI = """Reads shopping_queries_dataset_examples.parquet and shopping_queries_dataset_products.parquet
of the Amazon Shopping Queries Dataset. Documents are the products of one locale; a query
needs an Exact product."""

_HM = """Reads articles.csv[.gz] and transactions_train.csv[.gz] of H&M Personalized Fashion
Recommendations. Documents are all articles; a query is a customer's need on the last date
of a purchase, with earlier purchases as history."""

_TABLE = """Reads a corpus, queries and judgements of your own, each a Parquet, CSV, TSV or JSON Lines file
with these columns, and others, which are ignored:
  documents       doc_id, text, optional title
  queries         query_id, query, optional split (train, validation or test) and history
                  (earlier purchases: a list, or a text that is cut at --history-separator)
  qrels           query_id, doc_id, optional gain (at least 0; 1 if there is no such column)
  demonstrations  query_id, text (an example rewrite)
Errors are reported with file, row and column, up to 20 at once. The header of a CSV or TSV file is
row 1, as in a spreadsheet; a row of JSON Lines is its line."""

_BEIR = """Reads the layout of BEIR: corpus.jsonl, queries.jsonl and qrels/train.tsv, dev.tsv (or
validation.tsv), test.tsv, of which one is enough. Without train.tsv, splits are drawn from all
judged queries; without dev.tsv, validation queries are drawn from the training ones. Judgements
below 0 count as 0. A document with the id of a query is never ranked for it. With --graded, nDCG
is trec_eval's on the published files. Errors are reported with file, row and column, up to 20 at
once; the header of a TSV file is row 1."""

_EXAMPLES = {
    "esci": ("--source DIR --out runs/data/esci", "--source DIR --out runs/data/esci-jp --locale jp --version large"),
    "hm": ("--source DIR --out runs/data/hm", "--source DIR --out runs/data/hm-small --max-queries 1000"),
    "table": (
        "--documents documents.csv --queries queries.csv --qrels qrels.csv --out runs/data/own",
        "--documents d.parquet --queries q.jsonl --qrels j.tsv --demonstrations r.jsonl --out runs/data/own",
    ),
    "beir": (
        "--source DIR --out runs/data/beir",
        "--source DIR --out runs/data/beir --demonstrations expansions --graded",
    ),
}


class _Columns(argparse.Action):
    """Names of columns, ``NAME=COLUMN,...``, collected over all times that the option is given."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, *_: Any) -> None:
        """Add the names to those of the option so far."""
        names = dict(getattr(namespace, self.dest) or {})
        for pair in str(values).split(","):
            name, equals, column = pair.partition("=")
            if not equals:
                parser.error(f"--columns: expected NAME=COLUMN,... such as doc_id=sku,text=brand+blurb; got {pair!r}")
            names[name.strip()] = column.strip()
        setattr(namespace, self.dest, names)


_COLUMNS: dict[str, Any] = {
    "metavar": "NAME=COLUMN,...",
    "help": "names of columns in your files, such as doc_id=sku,title=name,text=brand+blurb (texts are joined); "
    "those of one table as in qrels.doc_id=product",
}


def main(argv: Sequence[str] | None) -> None:
    """Parse the command line, prepare, and print what was written."""
    settings = vars(_parser().parse_args(argv))
    check_directory("--out", settings["out"])
    from ospo_cli._preparation import prepare, summary  # slow to import, and not needed for --help

    data = prepare(**settings)
    say("\n".join(summary(data, settings["out"])))


def _parser() -> Parser:
    parser = Parser(
        "prepare",
        description=__doc__,
        epilog="The same files, arguments and seed give the same bytes. An earlier prepared directory at --out is\n"
        "replaced; anything else there is an error.",
        examples=[f"{name} {examples[0]}" for name, examples in _EXAMPLES.items()],
    )
    source, shared, own, kind = (Parser(add_help=False) for _ in range(4))
    needed: dict[str, Any] = {"type": Path, "required": True, "default": argparse.SUPPRESS}
    source.add_argument("--source", metavar="DIR", help="directory of the files to read", **needed)
    shared.add_argument("--out", metavar="DIR", help="directory to write", **needed)
    shared.add_argument(
        "--pool-size", type=int, default=100, metavar="P", help="documents in a query's pool, from 2 to 10,000"
    )
    shared.add_argument("--seed", type=int, default=0, metavar="N", help="seed of all random choices, at least 0")
    kinds = "phrases, of the query and its documents, or expansions, words to add that the query predicts, often none"
    kind.add_argument("--demonstrations", default="phrases", metavar="KIND", help=f"kind of demonstrations: {kinds}")
    share = "share of the queries that become {} ones, where the files have no splits"
    own.add_argument("--validation-share", type=float, default=0.1, metavar="X", help=share.format("validation"))
    own.add_argument("--test-share", type=float, default=0.1, metavar="X", help=share.format("test"))
    own.add_argument(
        "--graded", action="store_true", help="keep judgements above --full-gain apart: their gains are above 1"
    )
    own.add_argument(
        "--skip-unknown",
        action="store_true",
        help="leave out and count judgements of unknown queries or documents, which are an error otherwise",
    )
    datasets = parser.add_subparsers(
        dest="dataset", required=True, metavar="{esci,hm,table,beir}", help="kind of the files to prepare"
    )

    def add(name: str, description: str, about: str, *parents: Parser) -> Parser:
        added: Parser = datasets.add_parser(
            name, description=description, help=about, parents=list(parents), examples=_EXAMPLES[name]
        )
        return added

    esci = add("esci", _ESCI, "prepare the Amazon Shopping Queries Dataset", source, shared, kind)
    esci.add_argument("--locale", default="us", help="locale of the products and queries: us, es or jp")
    esci.add_argument("--version", default="small", help="set of queries: small (the harder ones) or large (all)")
    hm = add("hm", _HM, "prepare H&M Personalized Fashion Recommendations", source, shared, kind)
    hm.add_argument(
        "--max-queries", type=int, default=100_000, metavar="N", help="most queries to keep, chosen at random"
    )
    table = add("table", _TABLE, "prepare tables of your own", shared, own)
    for name in ("documents", "queries", "qrels"):
        table.add_argument(f"--{name}", metavar="F", help=f"file of the {name}", **needed)
    file_or_kind = f"file of example rewrites, or the kind of those that are made: {kinds}"
    table.add_argument("--demonstrations", default="phrases", metavar="F", help=file_or_kind)
    table.add_argument("--columns", action=_Columns, **_COLUMNS)
    table.add_argument("--history-separator", default="|", metavar="S", help="text between the entries of a history")
    table.add_argument("--multiline", action="store_true", help="accept line breaks in quoted fields of CSV files")
    level = "level from which a judgement has gain 1; a lower one has the share of the level that it reaches"
    table.add_argument(
        "--full-gain", type=float, metavar="LEVEL", help=f"{level} (default: the largest level of the file)"
    )
    beir = add("beir", _BEIR, "prepare a data set in the layout of BEIR", source, shared, own, kind)
    beir.add_argument("--keep-splits", action="store_true", help="keep the files' splits, whichever are there")
    beir.add_argument("--full-gain", type=float, default=1.0, metavar="LEVEL", help=level)
    return parser

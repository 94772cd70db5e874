"""Prepare a data set: official files or your own in, one directory of Parquet files and a manifest out.

python scripts/prepare.py esci  --source DIR --out runs/data/esci --locale us
python scripts/prepare.py hm    --source DIR --out runs/data/hm
python scripts/prepare.py table --documents F --queries F --qrels F --out runs/data/own
python scripts/prepare.py beir  --source DIR --out runs/data/beir
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from envs_data import SPLITS, PreparedData, prepare_beir, prepare_esci, prepare_hm, prepare_tables
from envs_data.official.hm import MAX_QUERIES
from envs_data.writing import check_replaceable
from ospo_cli._cli import Parser

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

_BEIR = """Reads the layout of BEIR: corpus.jsonl, queries.jsonl and qrels/train.tsv, dev.tsv, test.tsv, of
which one is enough. Without train.tsv, splits are drawn from all judged queries; without dev.tsv,
validation queries are drawn from the training ones. Errors are reported with file, row and column,
up to 20 at once; the header of a TSV file is row 1."""

_LEFT_OUT = {
    "judgements_repeated": "judgements that repeat a query and a document (the higher gain was kept)",
    "judgements_without_query": "judgements of queries that the queries file does not have",
    "judgements_without_document": "judgements of documents that the documents file does not have",
    "queries_without_judgement": "queries without a judgement",
    "queries_without_full_gain": "queries without a document of full gain (at or above --full-gain)",
    "demonstrations_without_query": "demonstrations of queries that the queries file does not have",
    "demonstrations_not_of_training": "demonstrations of queries that are not training ones",
    "queries_blank": "queries without text",
    "queries_without_exact": "queries without an Exact product in the corpus",
    "judgements_of_queries_left_out": "judgements of the queries left out",
    "purchases_unusable": "purchases of articles that the articles file does not have, or without date or customer",
    "customers_without_earlier_purchase": "customers without a purchase before their last date",
    "customers_not_drawn": "customers beyond --max-queries",
    "customers_without_new_need": "customers whose last date has no article of a known type that is new to them",
}
_PREPARE: Mapping[str, Callable[..., PreparedData]] = {
    "esci": prepare_esci,
    "hm": prepare_hm,
    "table": prepare_tables,
    "beir": prepare_beir,
}
_SOURCES = ("source", "documents", "queries", "qrels", "demonstrations")
_SHORTFALLS = {
    "pool_hard_missing": "places for hard negatives, for want of documents; they went to related ones",
    "pool_related_missing": "places for related negatives (those passed on included); they went to random ones",
    "pool_places_empty": "places stayed empty, as the corpus has too few documents",
    "pools_oversize": "pools hold more judged documents than --pool-size; none was cut",
}


def main(arguments: Sequence[str] | None) -> None:
    """Parse the command line, prepare, and say what was written."""
    given = vars(_parser().parse_args(arguments))
    dataset, out = given.pop("dataset"), given["out"]
    for name in _SOURCES:
        if given.get(name) is not None:
            check_replaceable(out, given[name])
    data = _PREPARE[dataset](**given)
    print("\n".join(summary(data, out)))


def summary(data: PreparedData, out: Path) -> list[str]:
    """What was written and what was not, a line each."""
    counts: Mapping[str, int] = data.manifest["counts"]
    splits = {name: int((data.queries["split"] == name).sum()) for name in SPLITS}
    kinds = ", ".join(f"{counts[f'pool_{kind}']:,} {kind}" for kind in ("judged", "hard", "related", "random"))
    sizes = data.pools["doc_rows"].list.len().to_numpy()
    lines = [
        f"Wrote {out}:",
        f"  documents       {data.documents.height:,}",
        f"  queries         {data.queries.height:,}: " + ", ".join(f"{n:,} {name}" for name, n in splits.items()),
        f"  judgements      {data.qrels.height:,}",
        f"  pools           {sizes.min():,} to {sizes.max():,} documents each; in all {kinds}",
        f"  demonstrations  {data.demonstrations.height:,}, of training queries",
    ]
    for heading, sentences in (("Left out:", _LEFT_OUT), ("Filled or empty places in pools:", _SHORTFALLS)):
        found = [f"  {counts[name]:,} {sentence}" for name, sentence in sentences.items() if counts.get(name)]
        lines += [heading, *found] if found else []
    drawn = data.manifest["arguments"].get("splits_drawn")
    if drawn:
        lines.append(f"Splits: {', '.join(drawn)} were drawn by seed, as the files do not say them.")
    if counts.get("documents_blank"):
        lines.append(
            f"Blank: {counts['documents_blank']:,} documents have neither title nor text; no query finds them."
        )
    if counts.get("queries_without_full_gain", 0) > data.queries.height:
        lines.append("Warning: most judged queries were left out; a lower --full-gain keeps more of them.")
    lines += [f"Warning: there is no {name} query." for name, n in splits.items() if n == 0]
    return lines


def _parser() -> Parser:
    parser = Parser(
        description=__doc__,
        epilog="The same files, arguments and seed give the same bytes. An earlier prepared directory at --out is\n"
        "replaced; anything else there is an error.",
    )
    source, shared, own = (Parser(add_help=False) for _ in range(3))
    needed: dict[str, Any] = {"type": Path, "required": True, "default": argparse.SUPPRESS}
    source.add_argument("--source", metavar="DIR", help="directory of the files", **needed)
    shared.add_argument("--out", metavar="DIR", help="directory to write", **needed)
    shared.add_argument("--pool-size", type=int, default=100, metavar="P", help="documents in a pool, 2 to 10,000")
    shared.add_argument("--seed", type=int, default=0, metavar="N", help="of everything drawn at random, from 0")
    own.add_argument(
        "--validation-share", type=float, default=0.1, metavar="X", help="of queries, where splits are drawn"
    )
    own.add_argument("--test-share", type=float, default=0.1, metavar="X", help="of queries, where splits are drawn")
    own.add_argument(
        "--skip-unknown",
        action="store_true",
        help="leave out judgements of unknown queries or documents, and count them, instead of an error",
    )
    datasets = parser.add_subparsers(dest="dataset", required=True, metavar="{esci,hm,table,beir}")
    esci = datasets.add_parser(
        "esci", description=_ESCI, help="Amazon Shopping Queries Dataset", parents=[source, shared]
    )
    esci.add_argument("--locale", default="us", help="us, es or jp")
    esci.add_argument("--version", default="small", help="small (the harder queries) or large (all)")
    hm = datasets.add_parser(
        "hm", description=_HM, help="H&M Personalized Fashion Recommendations", parents=[source, shared]
    )
    hm.add_argument("--max-queries", type=int, default=MAX_QUERIES, metavar="N", help="at most so many, drawn by seed")
    table = datasets.add_parser("table", description=_TABLE, help="tables of your own", parents=[shared, own])
    for name in ("documents", "queries", "qrels"):
        table.add_argument(f"--{name}", metavar="F", help=f"file of the {name}", **needed)
    table.add_argument("--demonstrations", type=Path, metavar="F", help="file of example rewrites; else they are made")
    table.add_argument("--history-separator", default="|", metavar="S", help="between entries of a history")
    level = "judgements of this level or more have gain 1, those below it the share of it that they reach"
    table.add_argument(
        "--full-gain", type=float, metavar="LEVEL", help=f"{level} (default: the largest level of the file)"
    )
    beir = datasets.add_parser("beir", description=_BEIR, help="the layout of BEIR", parents=[source, shared, own])
    beir.add_argument("--keep-splits", action="store_true", help="draw no split anew, whatever files there are")
    beir.add_argument("--full-gain", type=float, default=1.0, metavar="LEVEL", help=level)
    return parser

"""Prepare a data set: official files in, one directory of Parquet files and a manifest out.

python scripts/prepare.py esci --source DIR --out runs/data/esci --locale us
python scripts/prepare.py hm   --source DIR --out runs/data/hm
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from _cli import Parser, run

from envs_data import SPLITS, PreparedData, prepare_esci, prepare_hm
from envs_data.hm import MAX_QUERIES
from envs_data.prepared import check_replaceable

_ESCI = """Reads shopping_queries_dataset_examples.parquet and shopping_queries_dataset_products.parquet
of the Amazon Shopping Queries Dataset. Documents are the products of one locale; a query
needs an Exact product."""

_HM = """Reads articles.csv[.gz] and transactions_train.csv[.gz] of H&M Personalized Fashion
Recommendations. Documents are all articles; a query is a customer's need on the last date
of a purchase, with earlier purchases as history."""

_LEFT_OUT = {
    "judgements_repeated": "judgements that repeat a query and a product (the higher gain was kept)",
    "judgements_without_document": "judgements of products that the products file does not have",
    "queries_blank": "queries without text",
    "queries_without_exact": "queries without an Exact product in the corpus",
    "judgements_of_queries_left_out": "judgements of the queries left out",
    "purchases_unusable": "purchases of articles that the articles file does not have, or without date or customer",
    "customers_without_earlier_purchase": "customers without a purchase before their last date",
    "customers_not_drawn": "customers beyond --max-queries",
    "customers_without_new_need": "customers whose last date has no article of a known type that is new to them",
}
_SHORTFALLS = {
    "pool_hard_missing": "places for hard negatives, for want of documents; they went to related ones",
    "pool_related_missing": "places for related negatives (those passed on included); they went to random ones",
    "pool_places_empty": "places stayed empty, as the corpus has too few documents",
    "pools_oversize": "pools hold more judged documents than --pool-size; none was cut",
}


def main(arguments: Sequence[str] | None) -> None:
    """Parse the command line, prepare, and say what was written."""
    options = _parser().parse_args(arguments)
    check_replaceable(options.out, options.source)
    if options.dataset == "esci":
        data = prepare_esci(
            options.source,
            options.out,
            locale=options.locale,
            version=options.version,
            pool_size=options.pool_size,
            seed=options.seed,
        )
    else:
        data = prepare_hm(
            options.source,
            options.out,
            pool_size=options.pool_size,
            seed=options.seed,
            max_queries=options.max_queries,
        )
    print("\n".join(summary(data, options.out)))


def summary(data: PreparedData, out: Path) -> list[str]:
    """What was written and what was not, a line each."""
    counts: Mapping[str, int] = data.manifest["counts"]
    splits = {name: int((data.queries["split"] == name).sum()) for name in SPLITS}
    kinds = ", ".join(f"{counts[f'pool_{kind}']:,} {kind}" for kind in ("judged", "hard", "related", "random"))
    sizes = data.pools["doc_rows"].list.len()
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
    lines += [f"Warning: there is no {name} query." for name, n in splits.items() if n == 0]
    return lines


def _parser() -> Parser:
    parser = Parser(
        description=__doc__,
        epilog="The same files, arguments and seed give the same bytes. An earlier prepared directory at --out is\n"
        "replaced; anything else there is an error.",
    )
    shared = Parser(add_help=False)
    shared.add_argument(
        "--source",
        type=Path,
        required=True,
        default=argparse.SUPPRESS,
        metavar="DIR",
        help="directory of the official files",
    )
    shared.add_argument(
        "--out", type=Path, required=True, default=argparse.SUPPRESS, metavar="DIR", help="directory to write"
    )
    shared.add_argument("--pool-size", type=int, default=100, metavar="P", help="documents in a pool, 2 to 10,000")
    shared.add_argument("--seed", type=int, default=0, metavar="N", help="of everything drawn at random, from 0")
    datasets = parser.add_subparsers(dest="dataset", required=True, metavar="{esci,hm}")
    like = {"parents": [shared]}
    esci = datasets.add_parser("esci", description=_ESCI, help="Amazon Shopping Queries Dataset", **like)
    esci.add_argument("--locale", default="us", help="us, es or jp")
    esci.add_argument("--version", default="small", help="small (the harder queries) or large (all)")
    hm = datasets.add_parser("hm", description=_HM, help="H&M Personalized Fashion Recommendations", **like)
    hm.add_argument("--max-queries", type=int, default=MAX_QUERIES, metavar="N", help="at most so many, drawn by seed")
    return parser


if __name__ == "__main__":
    run(main)

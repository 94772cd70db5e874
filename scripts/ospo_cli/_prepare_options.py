"""Options of ``ospo prepare``: a parser for each kind of files."""

import argparse
from pathlib import Path
from typing import Any

from ospo_cli._cli import Parser
from ospo_cli._prepare_words import DESCRIPTIONS, EXAMPLES

__all__ = ["make_parser"]

_NEEDED: dict[str, Any] = {"type": Path, "required": True, "default": argparse.SUPPRESS}
_KINDS = (
    "phrases, of the query and its documents, or words to add that the query predicts: associations, as counting them "
    "gives them, or expansions, those of them that were right, often none"
)
_LEVEL = "level from which a judgement has gain 1; a lower one has the share of the level that it reaches"
_MULTILINE = "accept line breaks in quoted fields of CSV files"


class _Pairs(argparse.Action):
    """Pairs ``NAME=VALUE,...``, collected over all times that the option is given; ``const`` is their type."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, *_: Any) -> None:
        """Add the pairs to those of the option so far."""
        pairs = dict(getattr(namespace, self.dest) or {})
        for pair in str(values).split(","):
            name, equals, value = pair.partition("=")
            try:
                pairs[name.strip()] = self.const(value.strip())
            except ValueError:
                equals = ""
            if not equals or not name.strip():
                parser.error(f"{self.option_strings[0]}: expected {self.metavar}, got {pair!r}")
        setattr(namespace, self.dest, pairs)


def make_parser(description: str) -> Parser:
    """The parser of ``ospo prepare``.

    Args:
        description: Description of the program.
    """
    parser = Parser(
        "prepare",
        description=description,
        epilog="The same files, arguments and seed give the same bytes. An earlier prepared directory at --out is\n"
        "replaced; anything else there is an error.",
        examples=[f"{'irds:' if name == 'irds' else name + ' '}{examples[0]}" for name, examples in EXAMPLES.items()],
    )
    datasets = parser.add_subparsers(
        dest="dataset", required=True, metavar="{esci,hm,table,log,beir,irds:NAME}", help="kind of the files to prepare"
    )

    def add(name: str, about: str, *parents: Parser) -> Parser:
        added: Parser = datasets.add_parser(
            name, description=DESCRIPTIONS[name], help=about, parents=list(parents), examples=EXAMPLES[name]
        )
        return added

    source, shared, shares, kind = _source(), _shared(), _shares(), _kind()
    esci = add("esci", "prepare the Amazon Shopping Queries Dataset", source, shared, kind)
    esci.add_argument("--locale", default="us", help="locale of the products and queries: us, es or jp")
    esci.add_argument("--version", default="small", help="set of queries: small (the harder ones) or large (all)")
    hm = add("hm", "prepare H&M Personalized Fashion Recommendations", source, shared, kind)
    hm.add_argument(
        "--max-queries", type=int, default=100_000, metavar="N", help="most queries to keep, chosen at random"
    )
    _add_table(add("table", "prepare tables of your own", shared, shares))
    _add_log(add("log", "prepare a search log of your own", shared, shares, kind))
    beir = add("beir", "prepare a data set in the layout of BEIR", source, shared, shares, kind)
    _add_unknown(beir)
    irds = add("irds", "prepare a data set of the library ir_datasets", shared, shares, kind)
    irds.add_argument("name", metavar="NAME", help="name in ir_datasets, such as beir/nfcorpus")
    for published in (beir, irds):
        _add_graded(published)
        published.add_argument("--keep-splits", action="store_true", help="keep the splits, whichever are there")
        published.add_argument("--full-gain", type=float, default=1.0, metavar="LEVEL", help=_LEVEL)
    return parser


def _source() -> Parser:
    source = Parser(add_help=False)
    source.add_argument("--source", metavar="DIR", help="directory of the files to read", **_NEEDED)
    return source


def _shared() -> Parser:
    shared = Parser(add_help=False)
    shared.add_argument("--out", metavar="DIR", help="directory to write", **_NEEDED)
    shared.add_argument(
        "--pool-size", type=int, default=100, metavar="P", help="documents in a query's pool, from 2 to 10,000"
    )
    shared.add_argument("--seed", type=int, default=0, metavar="N", help="seed of all random choices, at least 0")
    return shared


def _shares() -> Parser:
    shares = Parser(add_help=False)
    share = "share of the queries that become {} ones, where the files have no splits"
    shares.add_argument("--validation-share", type=float, default=0.1, metavar="X", help=share.format("validation"))
    shares.add_argument("--test-share", type=float, default=0.1, metavar="X", help=share.format("test"))
    return shares


def _kind() -> Parser:
    kind = Parser(add_help=False)
    kind.add_argument("--demonstrations", default="phrases", metavar="KIND", help=f"kind of demonstrations: {_KINDS}")
    return kind


def _add_table(table: Parser) -> None:
    for name in ("documents", "queries", "qrels"):
        table.add_argument(f"--{name}", metavar="F", help=f"file of the {name}", **_NEEDED)
    file_or_kind = f"file of example rewrites, or the kind of those that are made: {_KINDS}"
    table.add_argument("--demonstrations", default="phrases", metavar="F", help=file_or_kind)
    _add_columns(table, "qrels.doc_id=product")
    table.add_argument("--history-separator", default="|", metavar="S", help="text between the entries of a history")
    table.add_argument("--multiline", action="store_true", help=_MULTILINE)
    table.add_argument(
        "--full-gain", type=float, metavar="LEVEL", help=f"{_LEVEL} (default: the largest level of the file)"
    )
    _add_graded(table)
    _add_unknown(table)


def _add_log(log: Parser) -> None:
    log.add_argument("--log", metavar="F", help="file of the log", **_NEEDED)
    log.add_argument("--documents", metavar="F", help="file of the documents", **_NEEDED)
    _add_columns(log, "log.doc_id=product")
    log.add_argument(
        "--levels",
        action=_Pairs,
        const=float,
        metavar="ACTION=LEVEL,...",
        help="levels of actions, beside impression=0 (shown only), click=1, basket=2, cart=2, add_to_cart=2, "
        "purchase=3 and order=3",
    )
    log.add_argument(
        "--minimum-support",
        type=float,
        default=2.0,
        metavar="N",
        help="actions on a pair of query and document at least; weighted ones with --propensity",
    )
    log.add_argument(
        "--propensity",
        type=_propensity,
        metavar="P",
        help="weigh actions by how often their position is looked at: estimate (needs a row for each impression), or "
        "the propensities of the first positions, such as 1,0.7,0.5 (default: no weights)",
    )
    log.add_argument(
        "--split", default="query", metavar="BY", help="query: drawn by seed; time: later queries are test ones"
    )
    log.add_argument("--multiline", action="store_true", help=_MULTILINE)
    log.add_argument(
        "--full-gain", type=float, default=1.0, metavar="LEVEL", help="level of gain 1; higher ones have larger gains"
    )


def _add_columns(parser: Parser, example: str) -> None:
    parser.add_argument(
        "--columns",
        action=_Pairs,
        const=str,
        metavar="NAME=COLUMN,...",
        help="names of columns in your files, such as doc_id=sku,title=name,text=brand+blurb (texts are joined); those "
        f"of one table as in {example}",
    )


def _add_graded(parser: Parser) -> None:
    parser.add_argument(
        "--graded", action="store_true", help="keep judgements above --full-gain apart: their gains are above 1"
    )


def _add_unknown(parser: Parser) -> None:
    parser.add_argument(
        "--skip-unknown",
        action="store_true",
        help="leave out and count judgements of unknown queries or documents, which are an error otherwise",
    )


def _propensity(text: str) -> str | list[float]:
    return text if text == "estimate" else [float(value) for value in text.split(",")]

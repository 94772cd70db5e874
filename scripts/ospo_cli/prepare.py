"""Prepare a data set: official files or your own in, one directory of Parquet files and a manifest out."""

import sys
from argparse import Namespace
from collections.abc import Sequence

from ospo_cli._outputs import check_directory
from ospo_cli._prepare_options import make_parser
from ospo_cli._terminal import say

__all__ = ["main", "parse"]

_IRDS = "irds:"


def parse(argv: Sequence[str] | None) -> Namespace:
    """The arguments."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words and words[0].startswith(_IRDS):  # irds:NAME is a kind and its name
        words[:1] = ["irds", words[0].removeprefix(_IRDS)]
    return make_parser(__doc__ or "").parse_args(words)


def main(argv: Sequence[str] | None) -> None:
    """Parse the command line, prepare, and print what was written."""
    settings = vars(parse(argv))
    check_directory("--out", settings["out"])
    from ospo_cli._preparation import prepare, summary  # slow to import, and not needed for --help

    data = prepare(**settings)
    say("\n".join(summary(data, settings["out"])))

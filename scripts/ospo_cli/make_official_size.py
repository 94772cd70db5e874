"""Write synthetic files in the official schemas and sizes, to measure preparation and retrieval at real size."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from ospo_cli._cli import Parser
from ospo_cli._outputs import check_directory
from ospo_cli._terminal import say

__all__ = ["main"]

_EXAMPLES = (
    "--kind esci --out runs/official-size/esci --seed 0",
    "--kind hm --out runs/official-size/hm --scale 0.01",
)


def main(argv: Sequence[str] | None) -> None:
    """Parse the command line, write, and print what was written."""
    options = _parser().parse_args(argv)
    check_directory("--out", options.out)
    from ospo_cli._official_size.write import write_official_size  # slow to import, and not needed for --help

    rows = write_official_size(options)
    say("\n".join(f"{options.out / name}: {count:,} rows" for name, count in rows.items()))


def _parser() -> Parser:
    parser = Parser(
        "make-official-size",
        description=__doc__,
        epilog="The same arguments and seed give the same content.",
        examples=_EXAMPLES,
    )
    parser.add_argument(
        "--kind", choices=["esci", "hm"], required=True, default=argparse.SUPPRESS, help="data set to imitate"
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        default=argparse.SUPPRESS,
        metavar="DIR",
        help="new or empty directory to write",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of all random choices, at least 0")
    parser.add_argument(
        "--scale", type=float, default=1.0, metavar="S", help="share of the official numbers of rows, in (0, 1]"
    )
    parser.add_argument(
        "--single-locale",
        action="store_true",
        help="esci: put all 1.8 million products into the locale us, one corpus (officially it has 1.2 million)",
    )
    return parser

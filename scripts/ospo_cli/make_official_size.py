"""Write synthetic files in the official schemas and sizes, to measure preparation and retrieval at real size.

python scripts/make_official_size.py --kind esci --out runs/official-size/esci --seed 0
python scripts/make_official_size.py --kind hm   --out runs/official-size/hm   --seed 0
"""

import argparse
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from envs_data import DataError
from envs_data.files import SYNTHETIC_MARK
from ospo_cli._cli import Parser
from ospo_cli._official_size.esci import write_esci
from ospo_cli._official_size.hm import write_hm

_README = """# Synthetic files

Nothing here was collected from shoppers: words, products, queries, judgements, customers and purchases are invented
by scripts/make_official_size.py (kind {kind}, seed {seed}, scale {scale}). Only the file names, the columns, the
numbers of rows and the lengths of texts are those of the official data set. Good for measuring time and memory; no
quality of retrieval or learning means anything on them. `{mark}` tells the readers so, and prepared directories made
of these files say that they are synthetic.
"""


def main(arguments: Sequence[str] | None) -> None:
    """Parse the command line and write."""
    options = _parser().parse_args(arguments)
    out: Path = options.out
    if not 0 < options.scale <= 1:
        raise DataError(f"expected --scale in (0, 1]; got {options.scale}")
    if options.seed < 0:
        raise DataError(f"expected --seed of at least 0; got {options.seed}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} exists and is not an empty directory; choose another place to write to")
    partial = out.parent / f".{out.name}.partial-{os.getpid()}"
    partial.mkdir(parents=True)
    try:
        rows = _write(partial, options)
        partial.replace(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    print("\n".join(f"{out / name}: {count:,} rows" for name, count in rows.items()))


def _write(out: Path, options: argparse.Namespace) -> dict[str, int]:
    said = {"kind": options.kind, "seed": options.seed, "scale": options.scale}
    if options.kind == "esci":
        rows = write_esci(out, options.seed, options.scale, options.single_locale)
        said["single_locale"] = options.single_locale
    else:
        rows = write_hm(out, options.seed, options.scale)
    mark = {"synthetic": True, "made_by": "scripts/make_official_size.py", **said, "rows": rows}
    (out / SYNTHETIC_MARK).write_text(json.dumps(mark, indent=2) + "\n", encoding="utf-8")
    (out / "README.md").write_text(_README.format(mark=SYNTHETIC_MARK, **said), encoding="utf-8")
    return rows


def _parser() -> Parser:
    parser = Parser(description=__doc__, epilog="The same arguments and seed give the same content.")
    parser.add_argument("--kind", choices=["esci", "hm"], required=True, default=argparse.SUPPRESS, help="data set")
    parser.add_argument(
        "--out", type=Path, required=True, default=argparse.SUPPRESS, metavar="DIR", help="directory to make"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of everything, from 0")
    parser.add_argument(
        "--scale", type=float, default=1.0, metavar="S", help="share of the official numbers, in (0, 1]"
    )
    parser.add_argument(
        "--single-locale",
        action="store_true",
        help="esci: put all 1.8 million products into the locale us, one corpus (officially it has 1.2 million)",
    )
    return parser

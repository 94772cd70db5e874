"""A directory of synthetic official files, written all or nothing, with a note that says what it is."""

import json
import os
import shutil
from argparse import Namespace
from pathlib import Path

from envs_data import DataError
from envs_data.files import SYNTHETIC_MARK
from ospo_cli._official_size.esci import write_esci
from ospo_cli._official_size.hm import write_hm

__all__ = ["write_official_size"]

_README = """# Synthetic files

Nothing here was collected from shoppers: words, products, queries, judgements, customers and purchases are invented
by `ospo make-official-size` (kind {kind}, seed {seed}, scale {scale}). Only the file names, the columns, the
numbers of rows and the lengths of texts are those of the official data set. Good for measuring time and memory; no
quality of retrieval or learning means anything on them. `{mark}` tells the readers so, and prepared directories made
of these files say that they are synthetic.
"""


def write_official_size(options: Namespace) -> dict[str, int]:
    """Write the files.

    Args:
        options: As ``ospo make-official-size`` parses them.

    Returns:
        The number of rows of each file.

    Raises:
        DataError: An option is out of range, or something stands at ``--out``.
    """
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
    return rows


def _write(out: Path, options: Namespace) -> dict[str, int]:
    made = {"kind": options.kind, "seed": options.seed, "scale": options.scale}
    if options.kind == "esci":
        rows = write_esci(out, options.seed, options.scale, options.single_locale)
        made["single_locale"] = options.single_locale
    else:
        rows = write_hm(out, options.seed, options.scale)
    mark = {"synthetic": True, "made_by": "ospo make-official-size", **made, "rows": rows}
    (out / SYNTHETIC_MARK).write_text(json.dumps(mark, indent=2) + "\n", encoding="utf-8")
    (out / "README.md").write_text(_README.format(mark=SYNTHETIC_MARK, **made), encoding="utf-8")
    return rows

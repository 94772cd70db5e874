"""Reader of CSV and TSV files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from envs_data.csv_shape import CsvShape, csv_shape
from envs_data.custom.faults import Faults

__all__ = ["read_csv", "read_tsv"]

_QUOTES = 'quotes only around whole fields, closed, and doubled inside them as in "a ""b"" c"'
_ONE_LINE = "rows of one line (multiline=True or --multiline reads quoted fields that hold line breaks)"


def read_csv(
    path: Path,
    columns: Sequence[str],
    faults: Faults,
    *,
    multiline: bool = False,
    header: Sequence[str] | None = None,
) -> tuple[pl.DataFrame, Sequence[str]] | None:
    """Read some columns of a CSV file as ``envs_data.custom.formats.read_raw`` does.

    A quoted field that holds a line break is a fault unless it is asked for: two stray quotes make one of all rows
    between them.

    Args:
        path: The file.
        columns: Names of the columns to read.
        faults: Collects faults in the form of the file.
        multiline: Whether quoted fields may hold line breaks.
        header: Names of the columns of a file whose first row is data; ``None`` if its first row names them.
    """
    shape = csv_shape(path, ",")
    misquoted = shape.misquoted if shape.open_record is None else np.array([shape.open_record])
    if len(misquoted):  # values after a stray quote cannot be trusted
        faults.add(path, _QUOTES, pl.DataFrame({"row": misquoted + 1}).with_columns(got=pl.lit('"')))
        return None
    if not multiline and shape.lines.max(initial=1) > 1:
        rows = pl.DataFrame({"row": np.arange(1, len(shape.lines) + 1), "got": shape.lines}).filter(pl.col("got") > 1)
        faults.add(path, _ONE_LINE, rows)
        return None
    return _read(path, columns, faults, shape, ",", '"', header)


def read_tsv(
    path: Path, columns: Sequence[str], faults: Faults, *, header: Sequence[str] | None = None
) -> tuple[pl.DataFrame, Sequence[str]] | None:
    """Read some columns of a TSV file, in which quotes have no meaning, likewise."""
    return _read(path, columns, faults, csv_shape(path, "\t", quoting=False), "\t", None, header)


def _read(
    path: Path,
    columns: Sequence[str],
    faults: Faults,
    shape: CsvShape,
    separator: str,
    quote: str | None,
    header: Sequence[str] | None,
) -> tuple[pl.DataFrame, Sequence[str]] | None:
    width = int(shape.fields[0]) if len(shape.fields) else 0
    names = [f"column {place}" for place in range(width)]
    if not width:
        faults.note(path, "expected a header line with the names of the columns, got nothing", row=1)
        return None
    scan = pl.scan_csv(
        path,
        has_header=False,
        separator=separator,
        quote_char=quote,
        schema=dict.fromkeys(names, pl.String),
        extra_columns="ignore",
        missing_columns="insert",
        glob=False,
    )
    first = 0
    if header is None:
        header, first = list(scan.head(1).collect().row(0)), 1
    elif len(header) != width:
        faults.note(path, f"expected {len(header)} fields, got {width}", row=1)
        return None
    repeats = sorted({name for name in header if name is not None and header.count(name) > 1})
    if repeats:
        faults.note(path, f"expected each column once, got several named {repeats[0]!r}", row=1)
        return None
    present = [pl.col(names[header.index(name)]).alias(name) for name in columns if name in header]
    frame = scan.select(present).collect() if present else pl.DataFrame()
    if present and frame.height != len(shape.fields):
        raise OSError(f"{len(shape.fields)} records by its quotes, {frame.height} as read")  # our own invariant
    numbers = {"row": np.arange(1, len(shape.fields) + 1), "fields": shape.fields}
    table = pl.DataFrame(numbers).hstack(frame)[first:].filter(pl.col("fields") > 0)
    wrong = table.filter(pl.col("fields") != width).select("row", got="fields")
    faults.add(path, f"{width} fields, as the {'header' if first else 'first row'} has", wrong)
    return table.filter(pl.col("fields") == width).drop("fields"), [name or "" for name in header]

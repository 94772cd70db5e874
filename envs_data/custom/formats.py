"""Readers of Parquet, CSV, TSV and JSON Lines files: their columns unchanged, with the row number of each value.

Faults of form (a line that is no JSON object, a record with too many fields) are noted and their rows left out;
``envs_data.custom.values`` checks the values.
"""

import codecs
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import polars as pl

from envs_data.csv_shape import read_blocks
from envs_data.custom.faults import Faults
from envs_data.custom.json_lines import read_json_lines
from envs_data.custom.separated import read_csv, read_tsv
from envs_data.errors import DataError, one_line

__all__ = ["FORMATS", "file_ending", "read_raw"]

_RawTable = tuple[pl.DataFrame, Sequence[str]]
_Reader = Callable[[Path, Sequence[str], Faults], _RawTable | None]


def read_raw(
    path: Path,
    columns: Sequence[str],
    faults: Faults,
    *,
    multiline: bool = False,
    header: Sequence[str] | None = None,
) -> _RawTable | None:
    """Read some columns of a file, values unchanged.

    Args:
        path: A file of one of :data:`FORMATS`; all but Parquet may be gzipped (``.gz``).
        columns: Names of the columns to read; a column that the file lacks is absent from the result.
        faults: Collects faults in the form of the file.
        multiline: Whether quoted fields of a CSV file may hold line breaks.
        header: Names of the columns of a CSV or TSV file whose first row is data.

    Returns:
        A table of ``row`` (int64, ascending) and the columns present, and the names of all columns of the file (of JSON
        Lines, of its first object). Columns of CSV and JSON Lines are strings, null where there is no value; in JSON
        Lines numbers are as written, and each column has another beside it, ``NAME kind`` (:data:`KIND`). ``None`` if
        the file cannot be read at all.

    Raises:
        DataError: The file does not exist, or its name has an unknown ending.
    """
    if not path.is_file():
        what = "is a directory" if path.exists() else "does not exist"
        raise DataError(f"expected a file at {path}, but it {what}")
    ending = file_ending(path)
    if ending not in FORMATS or (ending == "parquet" and path.suffix == ".gz"):
        raise DataError(f"expected a file named .{', .'.join(FORMATS)} (all but Parquet also .gz); got {path}")
    faults.begin(path, columns)
    read = FORMATS[ending]
    if ending == "csv":
        read = partial(read_csv, multiline=multiline, header=header)
    elif ending == "tsv":
        read = partial(read_tsv, header=header)
    try:
        return read(path, columns, faults)
    except (pl.exceptions.PolarsError, OSError, EOFError, zlib.error) as error:
        faults.note(path, f"expected {_NAMES[ending]}, but it cannot be read: {_why(path, ending, error)}")
        return None


def file_ending(path: Path) -> str:
    """Ending of a file's name that says its format, in small letters and without ``.gz``.

    >>> file_ending(Path("rewrites.CSV.gz"))
    'csv'
    """
    return path.name.removesuffix(".gz").rpartition(".")[2].lower()


def _read_parquet(path: Path, columns: Sequence[str], faults: Faults) -> _RawTable:
    scan = pl.scan_parquet(path, glob=False)
    present = scan.collect_schema().names()
    frame = scan.select(name for name in columns if name in present).collect()
    return frame.select(pl.int_range(1, frame.height + 1, dtype=pl.Int64).alias("row"), pl.all()), present


def _why(path: Path, ending: str, error: Exception) -> str:
    """Reason why a file cannot be read; for a byte that is not UTF-8, its line."""
    try:
        line = None if ending == "parquet" else _line_not_utf8(path)
    except (OSError, EOFError, zlib.error):
        line = None
    return one_line(error) if line is None else f"line {line} is not UTF-8"


def _line_not_utf8(path: Path) -> int | None:
    decoder, lines = codecs.getincrementaldecoder("utf-8")(), 1
    for block in read_blocks(path):
        try:
            decoder.decode(block)
        except UnicodeDecodeError as error:
            return lines + bytes(error.object[: error.start]).count(b"\n")
        lines += block.count(b"\n")
    return None


FORMATS: dict[str, _Reader] = {
    "parquet": _read_parquet,
    "csv": read_csv,
    "tsv": read_tsv,
    "jsonl": read_json_lines,
    "ndjson": read_json_lines,
}
"""Reader of each ending of file names."""

_NAMES = {
    "parquet": "a Parquet file",
    "csv": "a CSV file in UTF-8",
    "tsv": "a TSV file in UTF-8",
    "jsonl": "JSON Lines in UTF-8",
    "ndjson": "JSON Lines in UTF-8",
}

"""Readers of Parquet, CSV, TSV and JSON Lines files: their columns unchanged, with the row number of each value.

Faults of form (a line that is no JSON object, a record with too many fields) are noted and their rows left out;
``envs_data.custom.values`` checks the values.
"""

import codecs
import json
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from envs_data.custom.csv_shape import csv_shape, read_blocks
from envs_data.custom.faults import Faults
from envs_data.errors import DataError, one_line

__all__ = ["FORMATS", "LIST", "NO_TEXT", "read_raw"]

LIST = " is a list"
"""Suffix of the boolean column that says which values of a JSON Lines column are lists or objects."""

NO_TEXT = " is no text"
"""Suffix of the boolean column that says which are ``true``, ``false`` or no whole numbers, like 1.5 and 1e3."""

_QUOTES = 'quotes only around whole fields, closed, and doubled inside them as in "a ""b"" c"'

_RawTable = tuple[pl.DataFrame, Sequence[str]]
_Reader = Callable[[Path, Sequence[str], Faults], _RawTable | None]


def read_raw(path: Path, columns: Sequence[str], faults: Faults) -> _RawTable | None:
    """Read some columns of a file, values unchanged.

    Args:
        path: A file of one of :data:`FORMATS`; all but Parquet may be gzipped (``.gz``).
        columns: Names of the columns to read; a column that the file lacks is absent from the result.
        faults: Collects faults in the form of the file.

    Returns:
        A table of ``row`` (int64, ascending) and the columns present, and the names of all columns of the file (of JSON
        Lines, of its first object). Columns of CSV and JSON Lines are strings, null where there is no value; in JSON
        Lines numbers are as written, and each column has two boolean ones beside it, ``NAME is a list`` and ``NAME is
        no text``. ``None`` if the file cannot be read at all.

    Raises:
        DataError: The file does not exist, or its name has an unknown ending.
    """
    if not path.is_file():
        what = "is a directory" if path.exists() else "does not exist"
        raise DataError(f"expected a file at {path}, but it {what}")
    ending = path.name.removesuffix(".gz").rpartition(".")[2].lower()
    if ending not in FORMATS or (ending == "parquet" and path.suffix == ".gz"):
        raise DataError(f"expected a file named .{', .'.join(FORMATS)} (all but Parquet also .gz); got {path}")
    faults.begin(path, columns)
    try:
        return FORMATS[ending](path, columns, faults)
    except (pl.exceptions.PolarsError, OSError, EOFError, zlib.error) as error:
        faults.note(path, f"expected {_NAMES[ending]}, but it cannot be read: {_why(path, ending, error)}")
        return None


def _read_parquet(path: Path, columns: Sequence[str], faults: Faults) -> _RawTable:
    scan = pl.scan_parquet(path, glob=False)
    present = scan.collect_schema().names()
    frame = scan.select(name for name in columns if name in present).collect()
    return frame.select(pl.int_range(1, frame.height + 1, dtype=pl.Int64).alias("row"), pl.all()), present


def _read_separated(separator: str) -> _Reader:
    def read(path: Path, columns: Sequence[str], faults: Faults) -> _RawTable | None:
        shape = csv_shape(path, separator)
        misquoted = shape.misquoted if shape.open_record is None else np.array([shape.open_record])
        if len(misquoted):  # values after a stray quote cannot be trusted
            faults.add(path, _QUOTES, pl.DataFrame({"row": misquoted + 1}).with_columns(got=pl.lit('"')))
            return None
        width = int(shape.fields[0]) if len(shape.fields) else 0
        names = [f"column {place}" for place in range(width)]
        if not width:
            faults.note(path, "expected a header line with the names of the columns, got nothing", row=1)
            return None
        scan = pl.scan_csv(
            path,
            has_header=False,
            separator=separator,
            schema=dict.fromkeys(names, pl.String),
            extra_columns="ignore",
            missing_columns="insert",
            glob=False,
        )
        header = list(scan.head(1).collect().row(0))
        repeats = sorted({name for name in header if name is not None and header.count(name) > 1})
        if repeats:
            faults.note(path, f"expected each column once, got several named {repeats[0]!r}", row=1)
            return None
        present = [pl.col(names[header.index(name)]).alias(name) for name in columns if name in header]
        frame = scan.select(present).collect() if present else pl.DataFrame()
        if present and frame.height != len(shape.fields):
            raise OSError(f"{len(shape.fields)} records by its quotes, {frame.height} as read")  # our own invariant
        numbers = {"row": np.arange(1, len(shape.fields) + 1), "fields": shape.fields}
        table = pl.DataFrame(numbers).hstack(frame)[1:].filter(pl.col("fields") > 0)
        wrong = table.filter(pl.col("fields") != width).select("row", got="fields")
        faults.add(path, f"{width} fields, as the header has", wrong)
        return table.filter(pl.col("fields") == width).drop("fields"), [name or "" for name in header]

    return read


def _read_json_lines(path: Path, columns: Sequence[str], faults: Faults) -> _RawTable:
    line = pl.col("line")
    # no JSON text contains \x01, so a line is one field
    scan = pl.scan_csv(
        path,
        has_header=False,
        separator="\x01",
        quote_char=None,
        schema={"line": pl.String},
        extra_columns="ignore",
        glob=False,
        row_index_name="row",
        row_index_offset=1,
    )
    scan = scan.filter(line.str.strip_chars("\ufeff \t\r") != "").with_columns(line.str.strip_chars("\ufeff \t\r"))
    is_object = line.str.starts_with("{") & line.str.json_path_match("$").is_not_null()
    parsed = scan.select(
        pl.col("row").cast(pl.Int64),
        pl.when(~is_object).then(line.str.head(1000)).alias("no object"),
        *(line.str.json_path_match(_path(name)).alias(name) for name in columns),
        *(_is_list(name) for name in columns),
        _unquoted(columns, is_object).alias("unquoted"),
    ).collect(engine="streaming")
    parsed = parsed.sort("row")
    wrong = parsed.drop_nulls("no object").select("row", got="no object")
    also = pl.when(pl.col("got").str.contains("[0-9]{309}")).then(pl.lit(", with a number too long to read: quote it"))
    faults.add(path, "a JSON object", wrong.with_columns(also=also.fill_null("")))
    table = parsed.filter(pl.col("no object").is_null())
    for name in columns:
        token = pl.col("unquoted").struct[name]
        no_text = (~token.str.contains("^-?[0-9]+$")).fill_null(False)
        table = table.with_columns(pl.coalesce(token, name).alias(name), no_text.alias(name + NO_TEXT))
    present = [name for name in columns if not table.height or table[name].null_count() < table.height]
    keys: Sequence[str] = columns
    if len(present) < len(columns):
        keys = list(json.loads(scan.filter(pl.col("row") == table["row"][0]).select("line").collect().item()))
    return table.select("row", *(pl.col(name, name + LIST, name + NO_TEXT) for name in present)), keys


def _path(name: str) -> str:
    return f"$[{json.dumps(name)}]"


def _is_list(name: str) -> pl.Expr:
    """Whether a value is a list or an object: it has a first member, or nothing between its brackets."""
    value = pl.col("line").str.json_path_match(_path(name))
    inner = pl.col("line").str.json_path_match(f"{_path(name)}.*")
    bracketed = value.str.contains(r"^[\[{]")
    return (bracketed & (inner.is_not_null() | value.is_in(["[]", "{}", "[null]"]))).fill_null(False).alias(name + LIST)


def _unquoted(columns: Sequence[str], is_object: pl.Expr) -> pl.Expr:
    """Struct of the values that are numbers, ``true`` or ``false``, as written; null elsewhere.

    A JSON path converts them to floats first, which loses digits of long numbers and rounds some fractions wrongly.
    """
    line = pl.col("line")
    names = "|".join(pl.escape_regex(name) for name in columns)
    candidates = line.str.contains(rf'"(?:{names}|[^"]*\\[^"]*)"[ \t]*:[ \t]*[-0-9tf]')  # keys may hold escapes
    fields = dict.fromkeys(columns, pl.String)

    def read(lines: pl.Series) -> pl.Series:
        rows = [{} if text is None else json.loads(text, parse_int=_Number, parse_float=_Number) for text in lines]
        return pl.DataFrame({name: [_token(row.get(name)) for row in rows] for name in columns}, fields).to_struct()

    return (
        pl.when(is_object & candidates)
        .then(line)
        .map_batches(read, return_dtype=pl.Struct(fields), is_elementwise=True)
    )


class _Number(str):
    """Number of a JSON text, as written."""


def _token(value: object) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, _Number) else None


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
    "csv": _read_separated(","),
    "tsv": _read_separated("\t"),
    "jsonl": _read_json_lines,
    "ndjson": _read_json_lines,
}
"""Reader of each ending of file names."""

_NAMES = {
    "parquet": "a Parquet file",
    "csv": "a CSV file in UTF-8",
    "tsv": "a TSV file in UTF-8",
    "jsonl": "JSON Lines in UTF-8",
    "ndjson": "JSON Lines in UTF-8",
}

"""Checked values of a user's tables: every fault is noted with its row and column, and none stops the reading.

Whole columns are checked at once. Valid values:

| kind | value |
|---|---|
| ``id`` | a text that is not blank, or a whole number, which becomes its digits |
| ``text`` | likewise |
| ``maybe`` | likewise, or nothing or a blank text, which become ``""`` |
| ``number`` | a finite number of at least 0; a float of fewer than 64 bits is its shortest decimal |
| ``grade`` | likewise, or a negative one |
| ``split`` | ``train``, ``validation`` or ``test`` |
| ``rank`` | a whole number of at least 1, or nothing, which becomes 0 |
| ``time`` | a date or time, or a finite number (``envs_data.custom.times``) |
| ``list`` | a list of texts (Parquet, JSON Lines), or a text, cut at a separator; blank entries and nulls are dropped |

So ``true`` and ``1.5`` are neither ids nor texts, and ``5`` is no history, in JSON Lines as in Parquet, unless they are
quoted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from envs_data.custom.faults import Faults
from envs_data.custom.formats import read_raw
from envs_data.custom.json_lines import KIND
from envs_data.custom.times import time_values
from envs_data.errors import one_line
from envs_data.layout import SPLITS

__all__ = ["Column", "note_repeats", "note_unknown", "read_table"]

_EXPECTED = {
    "id": "an id",
    "text": "a text that is not blank",
    "maybe": "a text or nothing",
    "number": "a finite number of at least 0",
    "grade": "a finite number",
    "split": f"one of {', '.join(SPLITS)}",
    "rank": "a whole number of at least 1, or nothing",
    "time": "a date or time, such as 2024-05-31 12:00:00, or a number, all in one form",
    "list": "a list of texts",
}
_TYPES = {
    "id": "texts or whole numbers",
    "text": "texts or whole numbers",
    "maybe": "texts or whole numbers",
    "number": "numbers",
    "grade": "numbers",
    "split": "texts",
    "rank": "whole numbers",
    "time": "dates, times or numbers",
    "list": "lists of texts",
}
_JSON_KINDS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("id", "text", "maybe", "split"), ("text", "whole")),
    **dict.fromkeys(("number", "grade", "time"), ("text", "whole", "other")),
    "rank": ("text", "whole"),
    "list": ("text", "list"),
}
_WITHOUT_QUOTES = dict.fromkeys(("id", "text", "maybe"), "text or a whole number") | {"list": "a list of texts"}


@dataclass(frozen=True)
class Column:
    """A column of a file.

    Attributes:
        name: Name used here.
        kind: Kind of its values, of the table above.
        required: Whether the file must have the column.
        sources: Names in the file of the columns that are joined, with a space between those that are not blank;
            empty for the one called ``name``.
    """

    name: str
    kind: str
    required: bool = True
    sources: tuple[str, ...] = ()

    @property
    def file_names(self) -> list[str]:
        """Names in the file."""
        return list(self.sources or (self.name,))

    @property
    def file_name(self) -> str:
        """Name in the file, of joined columns as a message writes it."""
        return " + ".join(self.file_names)


def read_table(
    path: Path,
    columns: Sequence[Column],
    faults: Faults,
    separator: str = "|",
    *,
    multiline: bool = False,
    header: Sequence[str] | None = None,
) -> pl.DataFrame | None:
    """Read a table and check every value.

    Args:
        path: The file.
        columns: Columns to read; the file may have more.
        faults: Collects the faults.
        separator: Text between the entries of a list that is written as one text.
        multiline: Whether quoted fields of a CSV file may hold line breaks.
        header: Names of the columns of a CSV or TSV file whose first row is data.

    Returns:
        ``row`` and the columns of the file, by the names used here, with null for a wrong value. ``None`` if the file
        cannot be read or lacks a required column.

    Raises:
        DataError: The file does not exist, or its name has an unknown ending.
    """
    before = faults.total
    sources = list(dict.fromkeys(name for column in columns for name in column.file_names))
    raw_table = read_raw(path, sources, faults, multiline=multiline, header=header)
    if raw_table is None:
        return None
    raw, names = raw_table
    missing = [name for column in columns if column.required for name in column.file_names if name not in raw.columns]
    for name in dict.fromkeys(missing):
        listed = one_line(", ".join(sorted(names)))
        faults.note(path, f"expected the column, got a file with the columns {listed}", column=name)
    if raw.is_empty() and faults.total == before:
        faults.note(path, "expected rows, got none")
    present = [column for column in columns if all(name in raw.columns for name in column.file_names)]
    series = [_check_column(path, raw, column, faults, separator) for column in present]
    usable = [values for values in series if values is not None]
    return None if missing or len(usable) < len(series) else pl.DataFrame([raw["row"], *usable])


def note_repeats(path: Path, frame: pl.DataFrame, column: Column, faults: Faults) -> None:
    """Note each id that also comes in an earlier row."""
    first = frame.drop_nulls(column.name).with_columns(first=pl.col("row").min().over(column.name))
    also = pl.format(", which row {} has too", "first").alias("also")
    repeats = first.filter(pl.col("row") != pl.col("first")).select("row", also, got=column.name)
    faults.add(path, "each id once", repeats, column.file_name)


def note_unknown(
    path: Path, frame: pl.DataFrame, column: Column, owners: pl.DataFrame, where: str, faults: Faults
) -> None:
    """Note each id that is missing in ``owners``, the table of the file called ``where``."""
    unknown = frame.drop_nulls(column.name).join(owners, on=column.name, how="anti")
    faults.add(path, f"an id of {where}", unknown.select("row", got=column.name), column.file_name)


def _check_column(path: Path, raw: pl.DataFrame, column: Column, faults: Faults, separator: str) -> pl.Series | None:
    """Values of a column, or of several that are joined; null where they are wrong, ``None`` for another type."""
    if len(column.file_names) == 1:
        return _check(path, raw, column, faults, separator)
    parts = [Column(column.name, "maybe", sources=(name,)) for name in column.sources]
    texts = [_check(path, raw, part, faults, separator) for part in parts]
    frame = pl.DataFrame([text.alias(str(place)) for place, text in enumerate(texts) if text is not None])
    if frame.width < len(parts):
        return None
    filled = (pl.when(pl.col(name) != "").then(pl.col(name)) for name in frame.columns)
    value = frame.select(pl.concat_str(filled, separator=" ", ignore_nulls=True).alias(column.name)).to_series()
    if column.kind == "text":
        value = value.set(value == "", None)
        rows = pl.DataFrame([raw["row"], value.alias("got")]).filter(pl.col("got").is_null())
        faults.add(path, _EXPECTED["text"], rows, column.file_name)
    return value


def _check(path: Path, raw: pl.DataFrame, column: Column, faults: Faults, separator: str) -> pl.Series | None:
    """Values of a column, null where they are wrong; ``None`` if the column has another type."""
    cells = _shortest_decimals(raw[column.file_name]).alias("cell")
    no_kinds = pl.repeat(None, len(cells), dtype=pl.String, eager=True)  # of a format that tells texts from lists
    kinds = raw.get_column(column.file_name + KIND, default=no_kinds)
    times = time_values(cells) if column.kind == "time" else None
    if column.kind == "time":
        value = None if times is None else pl.lit(times)
    else:
        value = _lists(cells.dtype, separator) if column.kind == "list" else _singles(cells.dtype, column.kind)
    if value is None:
        faults.note(path, f"expected {_TYPES[column.kind]}, got the type {cells.dtype}", column=column.file_name)
        return None
    kind = pl.col("kind")
    table = pl.DataFrame([raw["row"], cells]).with_columns(kinds.alias("kind"))
    table = table.with_columns(value=pl.when(kind.is_null() | kind.is_in(_JSON_KINDS[column.kind])).then(value))
    wrong = table.filter(pl.col("value").is_null())
    unquoted = kind.is_in(("whole", "other")).fill_null(False) & pl.lit(column.kind in _WITHOUT_QUOTES)
    faults.add(path, _EXPECTED[column.kind], wrong.filter(~unquoted).select("row", got="cell"), column.file_name)
    also = pl.lit(" without quotes")
    rows = wrong.filter(unquoted).select("row", got="cell", also=also)
    faults.add(path, _WITHOUT_QUOTES.get(column.kind, ""), rows, column.file_name)
    return table["value"].alias(column.name)


def _singles(dtype: pl.DataType, kind: str) -> pl.Expr | None:
    """Expression of the values of a kind, null where they are wrong; ``None`` for a type that cannot hold them."""
    if kind in ("number", "grade"):
        if dtype != pl.String and not dtype.is_numeric() and dtype != pl.Null:
            return None
        number = pl.col("cell").cast(pl.String).str.strip_chars().cast(pl.Float64, strict=False)
        return pl.when(number.is_finite() & ((number >= 0) | pl.lit(kind == "grade"))).then(number)
    if not _is_text(dtype) and not dtype.is_integer():
        return None
    if kind == "rank":
        number = pl.col("cell").cast(pl.String).str.strip_chars()
        whole = number.cast(pl.Int64, strict=False)
        return pl.when(number.fill_null("") == "").then(0).when(whole >= 1).then(whole)
    text = pl.col("cell").cast(pl.String)
    if kind == "split":
        return pl.when(text.is_in(SPLITS)).then(text)
    present = pl.when(text.str.strip_chars() != "").then(text)
    return present.fill_null("") if kind == "maybe" else present


def _lists(dtype: pl.DataType, separator: str) -> pl.Expr | None:
    """Likewise for lists of texts."""
    if isinstance(dtype, pl.List) and _is_text(dtype.inner):
        entries = pl.col("cell").cast(pl.List(pl.String))
    elif _is_text(dtype):
        text = pl.col("cell").cast(pl.String)
        is_list = (pl.col("kind") == "list").fill_null(False)
        decoded = pl.when(is_list).then(text).str.json_decode(pl.List(pl.String))
        entries = pl.when(is_list).then(decoded).otherwise(text.str.split(separator))
    else:
        return None
    return _without_blanks(entries.fill_null([]))


def _without_blanks(entries: pl.Expr) -> pl.Expr:
    bare = entries.list.eval(pl.element().str.strip_chars())
    return bare.list.eval(pl.element().filter(pl.element() != ""))


def _shortest_decimals(cells: pl.Series) -> pl.Series:
    """Floats of 16 or 32 bits as the decimals that they are written as: 0.7, not 0.699999988079071."""
    if cells.dtype not in (pl.Float16, pl.Float32):
        return cells
    decimals = pl.Series(cells.name, cells.to_numpy().astype(str).astype(np.float64))
    return decimals.set(cells.is_null(), None)


def _is_text(dtype: object) -> bool:
    return dtype in (pl.String, pl.Null) or isinstance(dtype, pl.Categorical | pl.Enum)

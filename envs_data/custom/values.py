"""The values of a user's tables, checked: every fault is noted with its row and column, none stops the reading.

Whole columns are checked at once. What a value may be:

| kind | value |
|---|---|
| ``id`` | a text that is not blank, or a whole number, which is taken as its digits |
| ``text`` | likewise; ``maybe`` takes nothing and blanks too, as ``""`` |
| ``number`` | a finite number of at least 0 |
| ``split`` | ``train``, ``validation`` or ``test`` |
| ``list`` | a list of texts (Parquet, JSON Lines), or a text that a separator cuts; blank entries are dropped |

So ``true`` and ``1.5`` are no ids and no texts, in JSON Lines as in Parquet, unless they are quoted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from envs_data.custom.faults import Faults
from envs_data.custom.formats import LIST, NO_TEXT, read_raw
from envs_data.errors import one_line
from envs_data.layout import SPLITS

__all__ = ["Column", "note_repeats", "note_unknown", "read_table"]

_TEXT_LIST = r'^\[(?:"(?:[^"\\]|\\.)*"(?:,"(?:[^"\\]|\\.)*")*)?\]$'
_EXPECTED = {
    "id": "an id",
    "text": "a text that is not blank",
    "maybe": "a text or nothing",
    "number": "a finite number of at least 0",
    "split": f"one of {', '.join(SPLITS)}",
    "list": "a list of texts",
}
_TYPES = {
    "id": "texts or whole numbers",
    "text": "texts or whole numbers",
    "maybe": "texts or whole numbers",
    "number": "numbers",
    "split": "texts",
    "list": "lists of texts",
}


@dataclass(frozen=True)
class Column:
    """A column of a file.

    Attributes:
        name: What it is called here.
        kind: What its values may be, of the table above.
        required: Whether the file must have it.
        source: What the file calls it; ``None`` for ``name``.
    """

    name: str
    kind: str
    required: bool = True
    source: str | None = None

    @property
    def called(self) -> str:
        """What the file calls it."""
        return self.source or self.name


def read_table(path: Path, columns: Sequence[Column], faults: Faults, separator: str = "|") -> pl.DataFrame | None:
    """A table, of which every value is checked.

    Args:
        path: The file.
        columns: What it should hold; it may hold more.
        faults: Gets what is wrong.
        separator: Between the entries of a list that is written as a text.

    Returns:
        ``row`` and the columns of the file, by the names used here; a wrong value is null. ``None`` if the file cannot
        be read or lacks a required column.

    Raises:
        DataError: There is no such file, or its name ends in nothing known.
    """
    before = faults.total
    found = read_raw(path, [column.called for column in columns], faults)
    if found is None:
        return None
    raw, names = found
    missing = [column.called for column in columns if column.required and column.called not in raw.columns]
    for name in missing:
        listed = one_line(", ".join(sorted(names)))
        faults.note(path, f"expected the column, got a file with the columns {listed}", column=name)
    if raw.is_empty() and faults.total == before:
        faults.note(path, "expected rows, got none")
    checked = [_check(path, raw, column, faults, separator) for column in columns if column.called in raw.columns]
    whole = [values for values in checked if values is not None]
    return None if missing or len(whole) < len(checked) else pl.DataFrame([raw["row"], *whole])


def note_repeats(path: Path, frame: pl.DataFrame, column: Column, faults: Faults) -> None:
    """Note each id that an earlier row has too."""
    first = frame.drop_nulls(column.name).with_columns(first=pl.col("row").min().over(column.name))
    also = pl.format(", which row {} has too", "first").alias("also")
    again = first.filter(pl.col("row") != pl.col("first")).select("row", also, got=column.name)
    faults.add(path, "each id once", again, column.called)


def note_unknown(
    path: Path, frame: pl.DataFrame, column: Column, known: pl.DataFrame, where: str, faults: Faults
) -> None:
    """Note each id that the table of another file, of that name, does not have."""
    unknown = frame.drop_nulls(column.name).join(known, on=column.name, how="anti")
    faults.add(path, f"an id of {where}", unknown.select("row", got=column.name), column.called)


def _check(path: Path, raw: pl.DataFrame, column: Column, faults: Faults, separator: str) -> pl.Series | None:
    """The values of a column, null where they are wrong; ``None`` if the column is of another type."""
    came = raw[column.called].alias("came")
    none = pl.repeat(False, len(came), eager=True)
    nested = raw.get_column(column.called + LIST, default=none)
    no_text = raw.get_column(column.called + NO_TEXT, default=none) if column.kind in ("id", "text", "maybe") else none
    value = _lists(came.dtype, separator) if column.kind == "list" else _singles(came.dtype, column.kind)
    if value is None:
        faults.note(path, f"expected {_TYPES[column.kind]}, got the type {came.dtype}", column=column.called)
        return None
    if column.kind != "list":
        value = pl.when(~pl.col("nested") & ~pl.col("no_text")).then(value)
    table = pl.DataFrame([raw["row"], came, nested.alias("nested"), no_text.alias("no_text")])
    table = table.with_columns(value.alias("value"))
    wrong = table.filter(pl.col("value").is_null()).select("row", "no_text", got="came", also=pl.lit(" without quotes"))
    faults.add(path, _EXPECTED[column.kind], wrong.filter(~pl.col("no_text")).drop("also"), column.called)
    faults.add(path, "text or a whole number", wrong.filter("no_text"), column.called)
    return table["value"].alias(column.name)


def _singles(came: pl.DataType, kind: str) -> pl.Expr | None:
    """The value of one column as another, null where it is wrong; ``None`` for a type that cannot hold it."""
    if kind == "number":
        if came != pl.String and not came.is_numeric() and came != pl.Null:
            return None
        text = pl.col("came").str.strip_chars() if came == pl.String else pl.col("came")
        number = text.cast(pl.Float64, strict=False)
        return pl.when(number.is_finite() & (number >= 0)).then(number)
    if not _is_text(came) and not came.is_integer():
        return None
    text = pl.col("came").cast(pl.String)
    if kind == "split":
        return pl.when(text.is_in(SPLITS)).then(text)
    told = pl.when(text.str.strip_chars() != "").then(text)
    return told.fill_null("") if kind == "maybe" else told


def _lists(came: pl.DataType, separator: str) -> pl.Expr | None:
    """Likewise for lists of texts."""
    if isinstance(came, pl.List) and _is_text(came.inner):
        entries = pl.col("came").cast(pl.List(pl.String))
    elif _is_text(came):
        text = pl.col("came").cast(pl.String)
        listed = pl.when(pl.col("nested") & text.str.contains(_TEXT_LIST)).then(text)
        decoded = listed.str.json_decode(pl.List(pl.String))
        entries = pl.when(~pl.col("nested")).then(text.fill_null("").str.split(separator)).otherwise(decoded)
        return _without_blanks(entries)
    else:
        return None
    return _without_blanks(entries.fill_null([]))


def _without_blanks(entries: pl.Expr) -> pl.Expr:
    bare = entries.list.eval(pl.element().str.strip_chars())
    return bare.list.eval(pl.element().filter(pl.element() != ""))


def _is_text(came: object) -> bool:
    return came in (pl.String, pl.Null) or isinstance(came, pl.Categorical | pl.Enum)

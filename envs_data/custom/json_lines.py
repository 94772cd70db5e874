"""Reader of JSON Lines files."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from envs_data.custom.faults import Faults

__all__ = ["KIND", "read_json_lines"]

KIND = " kind"
"""Suffix of the column with the kind of each value of a JSON Lines column; null if there is no value.

``text`` is a string, ``whole`` a whole number, ``other`` another number, ``true`` or ``false``, ``list`` a list of
strings and nulls, ``nested`` another list or an object.
"""


def read_json_lines(path: Path, columns: Sequence[str], faults: Faults) -> tuple[pl.DataFrame, Sequence[str]]:
    """Read some columns of a JSON Lines file as ``envs_data.custom.formats.read_raw`` does."""
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
        *(line.str.json_path_match(f"$[{json.dumps(name)}]").alias(name) for name in columns),
        _unquoted(columns, is_object).alias("unquoted"),
    ).collect(engine="streaming")
    parsed = parsed.sort("row")
    wrong = parsed.drop_nulls("no object").select("row", got="no object")
    also = pl.when(pl.col("got").str.contains("[0-9]{309}")).then(pl.lit(", with a number too long to read: quote it"))
    faults.add(path, "a JSON object", wrong.with_columns(also=also.fill_null("")))
    table = parsed.filter(pl.col("no object").is_null())
    for place, name in enumerate(columns):
        token, kind = (pl.col("unquoted").struct[f"{part} {place}"] for part in _Unquoted._fields)
        value = pl.coalesce(token, name).alias(name)
        table = table.with_columns(value, pl.when(value.is_not_null()).then(kind.fill_null("text")).alias(name + KIND))
    present = [name for name in columns if not table.height or table[name].null_count() < table.height]
    keys: Sequence[str] = columns
    if len(present) < len(columns):
        keys = list(json.loads(scan.filter(pl.col("row") == table["row"][0]).select("line").collect().item()))
    return table.select("row", *(pl.col(name, name + KIND) for name in present)), keys


class _Unquoted(NamedTuple):
    """A value that is no string: its text if a JSON path does not give it as written, and its kind."""

    token: str | None
    kind: str | None


def _unquoted(columns: Sequence[str], is_object: pl.Expr) -> pl.Expr:
    """Struct of ``token N`` and ``kind N`` of the N-th column, null for strings and where there is no value.

    Only lines that may hold such a value are parsed here. A JSON path shows no difference between a list and a string
    that looks like one; it converts numbers to floats first, which loses digits and rounds some fractions wrongly.
    """
    line = pl.col("line")
    names = "|".join(pl.escape_regex(name) for name in columns)
    candidates = line.str.contains(rf'"(?:{names}|[^"]*\\[^"]*)"\s*:\s*[-0-9tf\[{{]')  # keys may hold escapes
    fields = {f"{part} {place}": pl.String for place in range(len(columns)) for part in _Unquoted._fields}

    def read(lines: pl.Series) -> pl.Series:
        rows = [{} if text is None else json.loads(text, parse_int=_Number, parse_float=_Number) for text in lines]
        values = [[part for name in columns for part in _described(row.get(name))] for row in rows]
        return pl.DataFrame(values, fields, orient="row").to_struct()

    objects = pl.when(is_object & candidates).then(line)
    return objects.map_batches(read, return_dtype=pl.Struct(fields), is_elementwise=True)


class _Number(str):
    """Number of a JSON text, as written."""


def _described(value: object) -> _Unquoted:
    if isinstance(value, bool):
        return _Unquoted("true" if value else "false", "other")
    if isinstance(value, _Number):
        return _Unquoted(str(value), "whole" if value.removeprefix("-").isdecimal() else "other")
    if isinstance(value, list):
        is_texts = all(part is None or type(part) is str for part in value)
        return _Unquoted(None, "list" if is_texts else "nested")
    return _Unquoted(None, "nested" if isinstance(value, dict) else None)

"""Reader of JSON Lines files."""

import json
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from envs_data.custom.faults import Faults

__all__ = ["LIST", "NO_TEXT", "read_json_lines"]

LIST = " is a list"
"""Suffix of the boolean column that says which values of a JSON Lines column are lists or objects."""

NO_TEXT = " is no text"
"""Suffix of the boolean column that says which are ``true``, ``false`` or no whole numbers, like 1.5 and 1e3."""


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

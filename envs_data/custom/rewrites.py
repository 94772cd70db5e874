"""Reader of rewrites that another program wrote: a row a rewrite, named by the id or the text of its query.

| column | value |
|---|---|
| ``query_id`` or ``query`` | id of a query of the data set, or its text; ``query_id`` where there are both |
| ``text`` or ``rewrite`` | the rewrite; nothing or a blank text is a blank rewrite |

Other columns are ignored, and a query may have several rows. A CSV or TSV file of two columns without these names has
no header: its columns are the query, by id or by text, and the rewrite.
"""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from envs_data.custom.faults import Faults
from envs_data.custom.formats import file_ending, read_raw
from envs_data.custom.values import Column, read_table
from envs_data.errors import one_line

__all__ = ["RewriteTable", "read_rewrite_table"]

_QUERIES = (Column("query_id", "id"), Column("query", "text"))
_TEXTS = (Column("text", "maybe"), Column("rewrite", "maybe"))
_NAMES = [column.name for column in (*_QUERIES, *_TEXTS)]


@dataclass(frozen=True)
class RewriteTable:
    """Rewrites of a file, free of faults.

    Attributes:
        path: The file.
        named_by: Name of the queries: ``query_id``, ``query``, or ``either`` of a file without a header.
        rows: ``row`` (int64, as people count), ``query`` (id or text) and ``text``, in the order of the file.
    """

    path: Path
    named_by: str
    rows: pl.DataFrame

    @property
    def several(self) -> bool:
        """Whether a query has several rewrites."""
        return bool(self.rows["query"].is_duplicated().any())


def read_rewrite_table(path: Path) -> RewriteTable:
    """Read and check a file of rewrites.

    Args:
        path: A Parquet, CSV, TSV or JSON Lines file; quoted fields of CSV may hold line breaks.

    Raises:
        FileFaults: The file contains errors; up to 20 are listed.
        DataError: The file does not exist, or its name has an unknown ending.
    """
    faults = Faults()
    peeked = read_raw(path, _NAMES, Faults(), multiline=True)  # read again below, where its faults are kept
    present, names = ([], []) if peeked is None else (peeked[0].columns, list(peeked[1]))
    if len(names) == 2 and file_ending(path) in ("csv", "tsv") and not set(present) & set(_NAMES):
        named_by, header = "either", ["query", "text"]
        chosen = [_QUERIES[1], _TEXTS[0]]
    else:
        named_by, header = "query_id" if "query_id" in present else "query", None
        chosen = [column for column in _QUERIES if column.name == named_by]
        chosen += [column for column in _TEXTS if column.name in present]
        if peeked is not None:
            _note_columns(path, peeked[0], names, faults)
    faults.check()
    table = read_table(path, chosen, faults, multiline=True, header=header)
    faults.check()
    if table is None:
        raise AssertionError(f"{path} has no table, which is a fault")
    query, text = (column.name for column in chosen)
    return RewriteTable(path, named_by, table.select("row", query=query, text=text))


def _note_columns(path: Path, raw: pl.DataFrame, names: list[str], faults: Faults) -> None:
    """Note that the query or the rewrite has no column, or that the rewrite has two."""
    listed = one_line(", ".join(sorted(names)))
    for pair in (_QUERIES, _TEXTS):
        if not any(column.name in raw.columns for column in pair):
            either = " or ".join(column.name for column in pair)
            faults.note(path, f"expected values in a column {either}, got a file with the columns {listed}")
    if raw.height and all(column.name in raw.columns for column in _TEXTS):
        faults.note(path, "expected one column of rewrites, got both text and rewrite; rename or drop one of them")

"""Names of columns in a user's files: which column, or which ones joined, holds a value of a table."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from envs_data.custom.values import Column
from envs_data.errors import DataError, unknown_name

__all__ = ["rename_columns"]

_JOINED = ("text", "maybe")


def rename_columns(tables: Mapping[str, Sequence[Column]], names: Mapping[str, str]) -> dict[str, list[Column]]:
    """Columns of tables under the names that a user's files have.

    A name without a table holds for every table that has such a column; ``TABLE.NAME`` holds for that table alone and
    comes first. A text may come from several columns, joined by ``+``. A column that is named must be there.

    Args:
        tables: Columns of each table.
        names: Column of the file, or several with ``+``, by our name.

    Raises:
        DataError: No table has such a column, a name is empty, or a value that is no text comes from several columns.

    >>> tables = {"documents": [Column("doc_id", "id"), Column("text", "maybe")], "qrels": [Column("doc_id", "id")]}
    >>> renamed = rename_columns(tables, {"doc_id": "sku", "text": "brand+blurb", "qrels.doc_id": "product"})
    >>> [[column.file_names for column in columns] for columns in renamed.values()]
    [[['sku'], ['brand', 'blurb']], [['product']]]
    """
    known = {column.name for columns in tables.values() for column in columns}
    known |= {f"{table}.{column.name}" for table, columns in tables.items() for column in columns}
    for name, source in names.items():
        if name not in known:
            raise DataError(f"columns (--columns): {unknown_name('column', name, known)}")
        if not all(part.strip() for part in source.split("+")):
            raise DataError(f"columns (--columns): expected a column of the file for {name}, got {source!r}")
    return {
        table: [_renamed(column, names.get(f"{table}.{column.name}", names.get(column.name))) for column in columns]
        for table, columns in tables.items()
    }


def _renamed(column: Column, source: str | None) -> Column:
    if source is None:
        return column
    renamed = replace(column, sources=tuple(part.strip() for part in source.split("+")), required=True)
    if len(renamed.sources) > 1 and column.kind not in _JOINED:
        raise DataError(f"columns (--columns): expected one column for {column.name}, got {source!r}; join texts only")
    return renamed

"""Faults in a user's files, collected by file, row and column, and raised together."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import polars as pl

from envs_data.errors import FileFaults, one_line

__all__ = ["SHOWN", "Faults"]

SHOWN = 20
_LONGEST = 80  # largest number of characters of a value that a message quotes


class _Place(NamedTuple):
    file: int
    row: int
    column: int
    message: str


@dataclass
class Faults:
    """Collection of faults: the first rows of each check, and ``total``, the number of faults of all checks.

    Rows are counted as people see them: the header of a CSV or TSV file is row 1, a row of JSON Lines is its line, the
    first row of a Parquet file is row 1.
    """

    _places: list[_Place] = field(default_factory=list)
    _columns: dict[Path, list[str]] = field(default_factory=dict)
    total: int = 0

    def note(self, path: Path, message: str, *, row: int | None = None, column: str | None = None) -> None:
        """Add one fault.

        Args:
            path: The file.
            message: The expected and the actual value, in words.
            row: The row, if the fault has one.
            column: The column as the file names it, if the fault has one.
        """
        where = [str(path)] + ([f"row {row}"] if row is not None else []) + ([f"column {column}"] if column else [])
        columns = self._columns.setdefault(path, [""])
        place = columns.index(column) if column in columns else 0
        file = list(self._columns).index(path)
        self._places.append(_Place(file, row or 0, place, f"{', '.join(where)}: {message}"))
        self.total += 1

    def add(self, path: Path, expected: str, rows: pl.DataFrame, column: str | None = None) -> None:
        """Add one fault for each row of a table.

        Args:
            path: The file.
            expected: Description of the expected value, the same for all rows.
            rows: ``row``, the value ``got`` and, optionally, ``also``, a text that follows the value.
            column: The column as the file names it, if the faults have one.
        """
        for fault in rows.sort("row").head(SHOWN).iter_rows(named=True):
            got = "nothing" if fault["got"] is None else one_line(repr(fault["got"]), _LONGEST)
            self.note(path, f"expected {expected}, got {got}{fault.get('also', '')}", row=fault["row"], column=column)
        self.total += max(0, rows.height - SHOWN)

    def begin(self, path: Path, columns: Sequence[str]) -> None:
        """Register a file and its columns; faults are listed in this order."""
        self._columns[path] = ["", *columns]

    def check(self) -> None:
        """Raise the faults, if there are any.

        Raises:
            FileFaults: There are faults; the first 20 by file, row and column are listed, and the rest is counted.
        """
        if self.total:
            raise FileFaults([place.message for place in sorted(self._places)[:SHOWN]], self.total)

"""Faults of a user's files: collected by file, row and column, and raised together."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import polars as pl

from envs_data.errors import FileFaults, one_line

__all__ = ["SHOWN", "Faults"]

SHOWN = 20
_LONGEST = 80  # characters of a value that a message quotes


class _Place(NamedTuple):
    file: int
    row: int
    column: int
    said: str


@dataclass
class Faults:
    """What is wrong so far; of each check the first rows and the number of all, ``total`` of all checks.

    A row is counted as the file's readers count: the header of a CSV or TSV file is row 1, a row of JSON Lines is its
    line, the first row of a Parquet file is row 1.
    """

    _found: list[_Place] = field(default_factory=list)
    _columns: dict[Path, list[str]] = field(default_factory=dict)
    total: int = 0

    def note(self, path: Path, said: str, *, row: int | None = None, column: str | None = None) -> None:
        """Add one fault.

        Args:
            path: The file.
            said: What was expected and what came.
            row: Where, if it is a row's.
            column: The column as the file names it, if it is a column's.
        """
        where = [str(path)] + ([f"row {row}"] if row is not None else []) + ([f"column {column}"] if column else [])
        columns = self._columns.setdefault(path, [""])
        place = columns.index(column) if column in columns else 0
        file = list(self._columns).index(path)
        self._found.append(_Place(file, row or 0, place, f"{', '.join(where)}: {said}"))
        self.total += 1

    def add(self, path: Path, expected: str, rows: pl.DataFrame, column: str | None = None) -> None:
        """Add a fault for each of some rows.

        Args:
            path: The file.
            expected: What was expected, the same for all.
            rows: ``row``, what came as ``got``, and perhaps ``also``, which is said after it.
            column: The column as the file names it, if it is a column's.
        """
        for found in rows.sort("row").head(SHOWN).iter_rows(named=True):
            got = "nothing" if found["got"] is None else one_line(repr(found["got"]), _LONGEST)
            said = f"expected {expected}, got {got}{found.get('also', '')}"
            self.note(path, said, row=found["row"], column=column)
        self.total += max(0, rows.height - SHOWN)

    def begin(self, path: Path, columns: Sequence[str]) -> None:
        """Name a file and its columns, so that the report lists them in this order."""
        self._columns[path] = ["", *columns]

    def check(self) -> None:
        """Raise what was found.

        Raises:
            FileFaults: There are faults; the first 20 by file, row and column are told, and how many more there are.
        """
        if self.total:
            raise FileFaults([place.said for place in sorted(self._found)[:SHOWN]], self.total)

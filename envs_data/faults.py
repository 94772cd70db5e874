"""Faults of a user's files: collected by file, row and column, and raised together."""

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
    _files: list[str] = field(default_factory=list)
    _columns: list[str] = field(default_factory=list)
    total: int = 0

    def note(self, path: Path, said: str, *, row: int | None = None, column: str | None = None) -> None:
        """Add one fault.

        Args:
            path: The file; files are listed in the order in which they are first named here.
            said: What was expected and what came.
            row: Where, if it is a row's.
            column: The column as the file names it, if it is a column's.
        """
        where = [str(path)] + ([f"row {row}"] if row is not None else []) + ([f"column {column}"] if column else [])
        place = _Place(self.file(path), row or 0, self._column(column or ""), f"{', '.join(where)}: {said}")
        self._found.append(place)
        self.total += 1

    def add(self, path: Path, expected: str, rows: pl.DataFrame, column: str | None = None) -> None:
        """Add a fault for each of some rows.

        Args:
            path: The file.
            expected: What was expected, the same for all.
            rows: ``row``, what came as ``got``, and perhaps ``also``, which is said after it.
            column: The column as the file names it, if it is a column's.
        """
        self.file(path)
        for found in rows.sort("row").head(SHOWN).iter_rows(named=True):
            got = "nothing" if found["got"] is None else one_line(repr(found["got"]), _LONGEST)
            said = f"expected {expected}, got {got}{found.get('also', '')}"
            self.note(path, said, row=found["row"], column=column)
        self.total += max(0, rows.height - SHOWN)

    def file(self, path: Path) -> int:
        """The place of a file in the order of the report, the next one if it is new."""
        return _place(self._files, str(path))

    def check(self) -> None:
        """Raise what was found.

        Raises:
            FileFaults: There are faults; the first 20 by file, row and column are told, and how many more there are.
        """
        if self.total:
            raise FileFaults([place.said for place in sorted(self._found)[:SHOWN]], self.total)

    def _column(self, name: str) -> int:
        return _place(self._columns, name)


def _place(names: list[str], name: str) -> int:
    if name not in names:
        names.append(name)
    return names.index(name)

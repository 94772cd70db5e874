"""Fields and lines of each record of a CSV file, and places of wrong quotes, which a lenient reader does not report."""

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["CsvShape", "csv_shape", "read_blocks"]

_BLOCK = 2**24  # bytes examined at once
_MARK = b"\xef\xbb\xbf"
_QUOTE, _NEWLINE, _RETURN = b'"\n\r'


@dataclass(frozen=True)
class CsvShape:
    """Records of a file, its header included; an empty line is a record of no field.

    Attributes:
        fields: Number of fields of each record, int64 (R,).
        lines: Number of lines of each record, more than 1 if a quoted field holds line breaks, int64 (R,).
        misquoted: Records, ascending, with a quote inside an unquoted field or text beside a quoted one.
        open_record: Record with a quote that is never closed; ``None`` if all are closed.
    """

    fields: NDArray[np.int64]
    lines: NDArray[np.int64]
    misquoted: NDArray[np.int64]
    open_record: int | None


def read_blocks(path: Path) -> Iterator[bytes]:
    """Blocks of a file's bytes, plain or gzipped (``.gz``), without a byte order mark.

    Raises:
        OSError: The file cannot be read.
    """
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
        block = stream.read(_BLOCK).removeprefix(_MARK)
        while block:
            yield block
            block = stream.read(_BLOCK)


def csv_shape(path: Path, separator: str, *, quoting: bool = True) -> CsvShape:
    """Count fields by the rules of RFC 4180: quotes enclose whole fields and are doubled inside them.

    Args:
        path: The file, plain or gzipped.
        separator: One ASCII character.
        quoting: Whether quotes have that meaning; in TSV they are letters like any other.

    Raises:
        OSError: The file cannot be read.
    """
    ends, cuts, errors, returns, breaks = [], [], [], [], []
    before, inside, last = 0, 0, _NEWLINE
    for block in read_blocks(path):
        signs = np.frombuffer(block, dtype=np.uint8)
        previous = np.concatenate(([np.uint8(last)], signs[:-1]))
        quotes = (signs == _QUOTE) & quoting
        closed = (inside + np.cumsum(quotes)) % 2 == 0  # after each byte
        plain = closed & ~quotes
        starts_field = (previous == ord(separator)) | (previous == _NEWLINE) | (previous == _QUOTE)
        ends_field = (signs == ord(separator)) | (signs == _NEWLINE) | (signs == _RETURN)
        misplaced = (quotes & ~closed & ~starts_field) | (plain & (previous == _QUOTE) & ~ends_field & quoting)
        newline = plain & (signs == _NEWLINE)
        breaks.append(before + np.flatnonzero(~closed & (signs == _NEWLINE)))
        ends.append(before + np.flatnonzero(newline))
        returns.append(previous[newline] == _RETURN)
        cuts.append(before + np.flatnonzero(plain & (signs == ord(separator))))
        errors.append(before + np.flatnonzero(misplaced))
        before, inside, last = before + len(signs), int(inside + quotes.sum()) % 2, int(signs[-1])
    stops = np.concatenate([*ends, np.empty(0, dtype=np.int64)])
    if before > (stops[-1] + 1 if len(stops) else 0):
        stops = np.append(stops, before)  # the last record need not end with a newline
        returns.append(np.array([last == _RETURN]))
    starts = np.concatenate(([0], stops[:-1] + 1))[: len(stops)]

    def records(places: list[NDArray[np.int64]]) -> NDArray[np.int64]:
        return np.searchsorted(stops, np.concatenate([*places, np.empty(0, dtype=np.int64)]))

    fields = np.bincount(records(cuts), minlength=len(stops)) + 1
    fields[stops - starts == np.concatenate([*returns, np.empty(0, dtype=np.bool_)])] = 0
    lines = np.bincount(records(breaks), minlength=len(stops)) + 1
    return CsvShape(fields, lines, np.unique(records(errors)), len(stops) - 1 if inside else None)

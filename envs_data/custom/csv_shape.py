"""How many fields each record of a CSV file has, and where its quotes are wrong: what a lenient reader does not say."""

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["CsvShape", "csv_shape", "read_blocks"]

_BLOCK = 2**24  # bytes looked at together
_MARK = b"\xef\xbb\xbf"
_QUOTE, _NEWLINE, _RETURN = b'"\n\r'


@dataclass(frozen=True)
class CsvShape:
    """The records of a file, its header among them; a line that holds nothing is a record of no field.

    Attributes:
        fields: Fields of each record, int64 (R,).
        misquoted: Records, ascending, that have a quote within an unquoted field or text beside a quoted one.
        open_record: The record that a quote opens and no other closes; ``None`` if all are closed.
    """

    fields: NDArray[np.int64]
    misquoted: NDArray[np.int64]
    open_record: int | None


def read_blocks(path: Path) -> Iterator[bytes]:
    """The bytes of a file, plain or gzipped (``.gz``), without a byte order mark.

    Raises:
        OSError: It cannot be read.
    """
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
        block = stream.read(_BLOCK).removeprefix(_MARK)
        while block:
            yield block
            block = stream.read(_BLOCK)


def csv_shape(path: Path, separator: str) -> CsvShape:
    """Count fields by the rules of RFC 4180: quotes stand around whole fields and are doubled inside them.

    Args:
        path: The file, plain or gzipped.
        separator: One ASCII character.

    Raises:
        OSError: It cannot be read.
    """
    ends, cuts, wrong, returned = [], [], [], []
    before, inside, last = 0, 0, _NEWLINE
    for block in read_blocks(path):
        signs = np.frombuffer(block, dtype=np.uint8)
        previous = np.concatenate(([np.uint8(last)], signs[:-1]))
        quotes = signs == _QUOTE
        closed = (inside + np.cumsum(quotes)) % 2 == 0  # after each byte
        plain = closed & ~quotes
        starts_field = (previous == ord(separator)) | (previous == _NEWLINE) | (previous == _QUOTE)
        ends_field = (signs == ord(separator)) | (signs == _NEWLINE) | (signs == _RETURN)
        bad = (quotes & ~closed & ~starts_field) | (plain & (previous == _QUOTE) & ~ends_field)
        newline = plain & (signs == _NEWLINE)
        ends.append(before + np.flatnonzero(newline))
        returned.append(previous[newline] == _RETURN)
        cuts.append(before + np.flatnonzero(plain & (signs == ord(separator))))
        wrong.append(before + np.flatnonzero(bad))
        before, inside, last = before + len(signs), int(inside + quotes.sum()) % 2, int(signs[-1])
    stops = np.concatenate([*ends, np.empty(0, dtype=np.int64)])
    if before > (stops[-1] + 1 if len(stops) else 0):
        stops = np.append(stops, before)  # the last record need not end with a newline
        returned.append(np.array([last == _RETURN]))
    starts = np.concatenate(([0], stops[:-1] + 1))[: len(stops)]
    record_of_cut = np.searchsorted(stops, np.concatenate([*cuts, np.empty(0, dtype=np.int64)]))
    misquoted = np.unique(np.searchsorted(stops, np.concatenate([*wrong, np.empty(0, dtype=np.int64)])))
    fields = np.bincount(record_of_cut, minlength=len(stops)) + 1
    fields[stops - starts == np.concatenate([*returned, np.empty(0, dtype=np.bool_)])] = 0
    return CsvShape(fields, misquoted, len(stops) - 1 if inside else None)

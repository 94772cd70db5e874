"""Checked reading of official files, in which every failure is a one-line ``DataError``."""

import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from envs_data.csv_shape import csv_shape, read_blocks
from envs_data.errors import DataError
from envs_data.files import file_sha256

__all__ = [
    "check_key",
    "collect",
    "scan_csv",
    "scan_parquet",
    "source_file",
    "source_hashes",
]


def source_file(source: Path, *names: str) -> Path:
    """Path of the first of some file names that a directory holds.

    Args:
        source: Directory of the official files.
        names: Accepted names, the preferred one first.

    Raises:
        DataError: The directory or the file does not exist.
    """
    if not source.is_dir():
        what = "is a file" if source.exists() else "does not exist"
        raise DataError(f"expected a directory of official files at {source}, but it {what}; check source (--source)")
    for name in names:
        if (source / name).is_file():
            return source / name
    raise DataError(f"expected the file {' or '.join(names)} in {source}; download it or check source (--source)")


def source_hashes(files: Iterable[Path]) -> dict[str, str]:
    """SHA-256 of each file's bytes, by file name."""
    return {path.name: file_sha256(path) for path in files}


def scan_parquet(path: Path, columns: Sequence[str]) -> pl.LazyFrame:
    """Lazy frame of some columns of a Parquet file.

    Raises:
        DataError: The file is no Parquet file or lacks a column.
    """
    return _checked(pl.scan_parquet(path, glob=False), path, columns, "a Parquet file")


def scan_csv(path: Path, columns: Sequence[str]) -> pl.LazyFrame:
    """Lazy frame of some columns, as strings, of a comma-separated file with a header line, plain or gzipped.

    Raises:
        DataError: The file is no such file or lacks a column, or quotes in it are wrong or enclose line breaks.
    """
    _check_quotes(path)
    return _checked(pl.scan_csv(path, infer_schema=False, glob=False), path, columns, "a CSV file")


def collect(frame: pl.LazyFrame, path: Path) -> pl.DataFrame:
    """Collect a lazy frame in batches, so that its file may be larger than memory.

    Rows come in the order in which they are ready, unless the frame sorts; callers sort.

    Args:
        frame: A frame made from ``scan_parquet`` or ``scan_csv``.
        path: The file, for the error.

    Raises:
        DataError: The content of the file cannot be read as the frame requires.
    """
    try:
        return frame.collect(engine="streaming").rechunk()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"cannot read {path}: {_first_line(error)}; download the file again") from error


def check_key(frame: pl.DataFrame, column: str, path: Path) -> None:
    """Check that a column identifies rows: no null, no value twice.

    Raises:
        DataError: A value is missing or comes twice.
    """
    if frame[column].null_count():
        raise DataError(f"{path}: expected a {column} in every row; {frame[column].null_count()} rows have none")
    if frame[column].n_unique() != frame.height:
        twice = frame.filter(pl.col(column).is_duplicated())[column].min()
        raise DataError(f"{path}: expected each {column} once; {twice!r} comes more often")


def _checked(scan: pl.LazyFrame, path: Path, columns: Sequence[str], kind: str) -> pl.LazyFrame:
    try:
        present = scan.collect_schema().names()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(
            f"expected {kind} at {path}, but it cannot be read ({_first_line(error)}); download it again"
        ) from error
    missing = [column for column in columns if column not in present]
    if missing:
        raise DataError(
            f"{path}: expected {kind} with the columns {', '.join(columns)}; missing: {', '.join(missing)}; "
            f"it has: {_shortened(', '.join(present))}"
        )
    return scan.select(columns)


def _check_quotes(path: Path) -> None:
    """Check that quotes enclose whole fields of one line: two stray ones would swallow all rows between them."""
    try:
        if not any(b'"' in block for block in read_blocks(path)):
            return
        shape = csv_shape(path, ",")
    except (OSError, EOFError, zlib.error):
        return  # whatever reads the file reports it
    faults: Mapping[str, Sequence[int]] = {
        "an unclosed quote": [] if shape.open_record is None else [shape.open_record],
        "a quote inside a field": shape.misquoted.tolist(),
        "a line break inside quotes": np.flatnonzero(shape.lines > 1).tolist(),
    }
    for fault, records in faults.items():
        if records:
            raise DataError(
                f"{path}, row {records[0] + 1}: expected rows of one line, fields with quotes only around them, got "
                f"{fault}; download the file again"
            )


def _first_line(error: Exception) -> str:
    return _shortened((str(error).strip().splitlines() or [type(error).__name__])[0])


def _shortened(text: str, longest: int = 200) -> str:
    one_line = "".join(sign if sign.isprintable() else "?" for sign in text)
    return one_line if len(one_line) <= longest else one_line[: longest - 3] + "..."

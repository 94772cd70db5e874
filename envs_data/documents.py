"""Documents of a data set, in memory or, if the corpus is large, with their texts read from disk on demand."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import overload

import polars as pl

from envs_data.cache import FileIdentity
from envs_data.errors import DataError, one_line
from envs_data.layout import cast_table

__all__ = ["Documents", "corpus_digest", "open_documents"]

_IN_MEMORY = 64 * 2**20  # bytes: a documents file up to this size is read whole
_BLOCK = 2**14  # texts in one read


def corpus_digest(texts: Iterable[str]) -> str:
    """SHA-256 hex digest of texts in their order."""
    digest = hashlib.sha256()
    for text in texts:
        content = text.encode("utf-8", "surrogatepass")
        digest.update(len(content).to_bytes(8, "little") + content)
    return digest.hexdigest()


class Documents:
    """Table of D documents with the columns ``doc_id``, ``title`` and ``text``; other tables refer to rows.

    Args:
        frame: All columns; with ``file``, the columns already in memory, at least ``doc_id``.
        file: Parquet file of all columns, its rows in the same order.
        digest: :func:`corpus_digest` of the texts, if it is known.

    Attributes:
        doc_ids: D ids.
        texts: D texts, read from disk in blocks where they are not in memory.
        titles: D titles, likewise.
    """

    def __init__(self, frame: pl.DataFrame, file: Path | None = None, digest: str | None = None) -> None:
        self._columns = {column.name: column for column in frame.iter_columns()}
        self._file = None if file is None else file.absolute()
        self._identity = None if file is None else FileIdentity.of(file)
        self._digest = digest
        self.doc_ids: Sequence[str] = _Column(self, "doc_id")
        self.texts: Sequence[str] = _Column(self, "text")
        self.titles: Sequence[str] = _Column(self, "title")

    @property
    def height(self) -> int:
        """Number of documents, D."""
        return len(self._columns["doc_id"])

    @property
    def frame(self) -> pl.DataFrame:
        """All columns in memory."""
        return pl.DataFrame([self[name] for name in ("doc_id", "title", "text")])

    def lazy(self) -> pl.LazyFrame:
        """All columns as a lazy frame; a file is read when the frame is collected."""
        return pl.LazyFrame(self._columns) if self._file is None else self._scan()

    @cached_property
    def digest(self) -> str:
        """:func:`corpus_digest` of the texts."""
        return self._digest or corpus_digest(self.texts)

    @cached_property
    def key(self) -> str:
        """Key of what is remembered in this process: equal ones mean equal columns."""
        if self._identity is not None:
            return f"{self.digest} {self._identity}"
        return " ".join([self.digest, corpus_digest(self.doc_ids), corpus_digest(self.titles)])

    def __getitem__(self, column: str) -> pl.Series:
        """A whole column, kept in memory from its first use on; iterating over :attr:`texts` takes less memory.

        Raises:
            DataError: The file has changed since it was opened.
        """
        if column not in self._columns:
            self._columns[column] = self._read(column, 0, None)
        return self._columns[column]

    def rows(self, column: str, start: int, count: int) -> pl.Series:
        """Consecutive rows of a column, which is not kept in memory.

        Raises:
            DataError: The file has changed since it was opened.
        """
        if column in self._columns:
            return self._columns[column].slice(start, count)
        return self._read(column, start, count)

    def _scan(self) -> pl.LazyFrame:
        return cast_table("documents", pl.scan_parquet(str(self._file), glob=False))

    def _read(self, column: str, start: int, count: int | None) -> pl.Series:
        if self._file is None:
            raise KeyError(column)
        try:
            if FileIdentity.of(self._file) != self._identity:
                raise DataError(f"{self._file} has changed since it was opened; open the data again")
            return self._scan().select(column).slice(start, count).collect().to_series()
        except (OSError, pl.exceptions.PolarsError) as error:
            raise DataError(f"cannot read {self._file}: {one_line(error)}; open the data again") from error


def open_documents(file: Path, digest: str | None = None) -> Documents:
    """Open the documents of a Parquet file; of a file larger than 64 MiB only the ids are read.

    Args:
        file: The file.
        digest: :func:`corpus_digest` of the texts, if it is known.

    Raises:
        DataError: A column is missing or of another type.
        OSError, PolarsError: The file cannot be read.
    """
    scan = cast_table("documents", pl.scan_parquet(file, glob=False))
    if file.stat().st_size <= _IN_MEMORY:
        return Documents(scan.collect(), digest=digest)
    return Documents(scan.select("doc_id").collect(), file, digest)


class _Column(Sequence[str]):
    """A column in row order, read in blocks; the latest block is kept, so that single rows are not read one by one."""

    def __init__(self, documents: Documents, name: str) -> None:
        self._documents = documents
        self._name = name
        self._block: tuple[int, list[str]] = (0, [])

    def __len__(self) -> int:
        return self._documents.height

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), _BLOCK):
            yield from self._rows(start, _BLOCK)

    @overload
    def __getitem__(self, rows: int) -> str: ...

    @overload
    def __getitem__(self, rows: slice) -> list[str]: ...

    def __getitem__(self, rows: int | slice) -> str | list[str]:
        selection = range(len(self))[rows]
        if isinstance(selection, int):
            start, block = self._block
            if not start <= selection < start + len(block):
                start = selection - selection % _BLOCK
                self._block = start, block = start, self._rows(start, _BLOCK)
            return block[selection - start]
        if selection.step == 1:
            return self._rows(selection.start, len(selection))
        return [self[row] for row in selection]

    def _rows(self, start: int, count: int) -> list[str]:
        return self._documents.rows(self._name, start, count).to_list()

"""Prepared directories, the only form in which the environments read data.

| file | a row holds | columns |
|---|---|---|
| ``documents.parquet`` | a document, in a seeded random order; other tables name it by its row number | ``doc_id`` str, ``title`` str, ``text`` str (the indexed text, the title included) |
| ``queries.parquet`` | a query | ``query_id`` str, ``split`` str, ``query`` str, ``history`` list[str] (earlier purchases, oldest first, or empty), ``intent`` list[str] (the latent intent in catalogue phrases; synthetic data only, else empty) |
| ``pools.parquet`` | a query's candidate pool, in the order of the queries | ``query_id`` str, ``doc_rows`` list[u32], ascending |
| ``qrels.parquet`` | a judgement | ``query_id`` str, ``doc_row`` u32, ``gain`` f64 of at least 0; full from 1 on |
| ``demonstrations.parquet`` | an example rewrite of a training query | ``query_id`` str, ``text`` str |
| ``manifest.json`` | | data set, arguments, digests of source files and of the files above, counts, versions |
| ``data_card.md``, ``croissant.json`` | | the same for people, and for tools that read Croissant; not needed to open the directory |
"""  # noqa: E501 - a table

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

import polars as pl

from envs_data.cache import FileIdentity, recall, remember
from envs_data.directories import restore_directory
from envs_data.documents import Documents, open_documents
from envs_data.errors import HOW_TO_PREPARE, DataError, one_line
from envs_data.files import file_sha256
from envs_data.layout import cast_table, check_tables
from envs_data.manifest import FILES, MANIFEST, manifest_digest, read_manifest

__all__ = ["PreparedData", "load_prepared"]

_CHECKS = 1  # goes up when other things are checked as a directory is opened
_DOCUMENTS = "documents.parquet"
_IDENTICAL_IDS = ("beir",)  # data sets in which a query and a document of one id are the same text

_Table = TypeVar("_Table")


@dataclass(frozen=True)
class PreparedData:
    """A data set as the tables of the module's docstring; the texts of a large corpus stay on disk.

    Attributes:
        documents: One row a document.
        queries: One row a query; every query has a pool and a judgement of full gain inside it.
        pools: One row a query, in the same order as ``queries``.
        qrels: One row a judgement.
        demonstrations: Example rewrites, of training queries only.
        manifest: Origin of the data, arguments and counts; JSON-able.
    """

    documents: Documents
    queries: pl.DataFrame
    pools: pl.DataFrame
    qrels: pl.DataFrame
    demonstrations: pl.DataFrame
    manifest: Mapping[str, Any]

    @property
    def fingerprint(self) -> str:
        """SHA-256 hex digest of the manifest, which holds the digest of every table.

        Runs and reports record it, so that their numbers can be traced to the data.
        """
        return manifest_digest(self.manifest)

    @cached_property
    def own_documents(self) -> pl.Series:
        """Row of the document that is the query itself and so is never ranked for it, u32 (Q,); null without one.

        In the layout of BEIR a query may be a document too, under one id (ArguAna), and the published evaluation leaves
        it out of the query's ranking (``ignore_identical_ids``). In other data sets ids of queries and documents have
        nothing to do with each other.
        """
        if self.manifest["dataset"] not in _IDENTICAL_IDS:
            return pl.Series("doc_row", [None], dtype=pl.UInt32).new_from_index(0, self.queries.height)
        rows = pl.DataFrame([self.documents["doc_id"]]).with_row_index("doc_row")
        pairs = self.queries.join(rows, left_on="query_id", right_on="doc_id", how="left", maintain_order="left")
        return pairs["doc_row"]

    @property
    def demonstration_kind(self) -> str:
        """Kind of the demonstrations, as the manifest records it; ``phrases`` where it records none."""
        return str(self.manifest["arguments"].get("demonstrations", "phrases"))

    @property
    def synthetic(self) -> bool:
        """Whether the data were generated rather than collected from shoppers."""
        return bool(self.manifest["synthetic"])


def load_prepared(path: str | Path) -> PreparedData:
    """Open a prepared directory and check that it is complete and unchanged.

    The first time, all bytes are read and all tables are checked. The result is remembered in the cache directory
    (``$OSPO_CACHE_DIR``, or the user's) under the manifest and the size, times of change, inode and device of each
    file; while these stay the same, the directory is opened without another check. The texts of a large corpus stay
    on disk and are read on demand. A replacement of the directory that was interrupted is undone.

    Args:
        path: Directory that ``write_prepared`` made.

    Returns:
        The tables and the manifest.

    Raises:
        DataError: The directory does not exist, is not a prepared one, has another format version, or differs from
            what was written: a file does not have the digest of the manifest, or a table breaks the layout.
    """
    path = Path(path)
    if not path.exists():
        with contextlib.suppress(OSError, DataError):
            restore_directory(path.resolve())
    try:
        manifest = read_manifest(path)
        identities = [_identity(path / file) for file in FILES]
        subject = f"prepared {_CHECKS} {manifest['files']}"
        corpus = recall(subject, identities)
        if corpus is None:
            for file in FILES:
                _check_digest(path / file, manifest["files"].get(file))
        documents = _read(path / _DOCUMENTS, partial(open_documents, digest=corpus))
        others = {name: file for file, name in FILES.items() if file != _DOCUMENTS}
        tables = {name: _read(path / file, partial(_read_table, name)) for name, file in others.items()}
    except OSError as error:
        raise DataError(f"cannot read the prepared directory {path}: {one_line(error)}") from error
    if corpus is None:
        try:
            check_tables(documents.lazy(), tables)
        except (pl.exceptions.PolarsError, DataError) as error:
            raise DataError(f"{path}: {one_line(error)}; make it again with {HOW_TO_PREPARE}") from error
        remember(subject, identities, documents.digest)
    return PreparedData(documents, **tables, manifest=manifest)


def _identity(file: Path) -> FileIdentity:
    if not file.is_file():
        raise DataError(f"expected the file {file.name} in {file.parent}; make it again with {HOW_TO_PREPARE}")
    return FileIdentity.of(file)


def _check_digest(file: Path, digest: object) -> None:
    if file_sha256(file) != digest:
        raise DataError(
            f"{file} is not the file that {MANIFEST} lists (other digest); make it again with {HOW_TO_PREPARE}"
        )


def _read_table(name: str, file: Path) -> pl.DataFrame:
    return cast_table(name, pl.read_parquet(file))


def _read(file: Path, read: Callable[[Path], _Table]) -> _Table:
    try:
        return read(file)
    except (pl.exceptions.PolarsError, DataError) as error:
        raise DataError(f"{file} cannot be read ({one_line(error)}); make it again with {HOW_TO_PREPARE}") from error

"""Writing of prepared directories: completely or not at all, and over nothing but an earlier prepared one."""

import contextlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from envs_data.croissant import croissant_bytes
from envs_data.data_card import data_card_bytes
from envs_data.directories import replace_directory
from envs_data.documents import Documents
from envs_data.errors import DataError, one_line
from envs_data.files import file_sha256
from envs_data.layout import TABLES, cast_table, check_tables
from envs_data.manifest import CARDS, FILES, FORMAT_VERSION, MANIFEST, manifest_bytes, manifest_digest
from envs_data.prepared import PreparedData

__all__ = ["check_replaceable", "write_prepared"]


def write_prepared(
    out: Path,
    tables: Mapping[str, pl.DataFrame | Documents],
    *,
    dataset: str,
    synthetic: bool,
    arguments: Mapping[str, Any],
    sources: Mapping[str, str],
    counts: Mapping[str, int],
) -> PreparedData:
    """Write a prepared directory under a temporary name, then rename it to ``out``.

    The same tables and arguments give the same bytes: neither time nor machine is stored. An earlier prepared
    directory at ``out`` is replaced; anything else there is an error.

    Args:
        out: Directory to make.
        tables: The five tables by name, with the columns and types of ``envs_data.prepared``; the documents also as
            the ``Documents`` of a ``PreparedData``.
        dataset: Short name of the data set, for example ``"esci"``.
        synthetic: Whether this project generated the data.
        arguments: Arguments that shaped the data (seed, filters), JSON-able.
        sources: Digest of each source file by its name.
        counts: Numbers of rows kept, left out and filled up.

    Returns:
        The data set, equal to what ``load_prepared`` reads from ``out``.

    Raises:
        DataError: Something else is at ``out``, it cannot be written to, or a table breaks the layout.
    """
    check_replaceable(out)
    frames = {name: table.frame if isinstance(table, Documents) else table for name, table in tables.items()}
    checked = {name: cast_table(name, frames[name]) for name in TABLES}
    check_tables(checked["documents"].lazy(), {name: table for name, table in checked.items() if name != "documents"})
    # The directory itself is replaced, not a link to it.
    with _writing_to(out), replace_directory(out.resolve(), _holds_our_files) as partial:
        for file, name in FILES.items():
            checked[name].write_parquet(partial / file, compression="zstd", statistics=False)
        manifest = {
            "format_version": FORMAT_VERSION,
            "dataset": dataset,
            "synthetic": synthetic,
            "arguments": dict(arguments),
            "sources": dict(sources),
            "counts": dict(counts),
            "files": {file: file_sha256(partial / file) for file in FILES},
        }
        (partial / MANIFEST).write_bytes(manifest_bytes(manifest))
        digest = manifest_digest(manifest)
        pages = (data_card_bytes(manifest, digest, checked), croissant_bytes(manifest, digest))
        for page, content in zip(CARDS, pages, strict=True):
            (partial / page).write_bytes(content)
    return PreparedData(Documents(checked.pop("documents")), **checked, manifest=manifest)


def check_replaceable(out: Path, *sources: Path) -> None:
    """Check, before long work starts, that ``write_prepared`` may write to ``out``, and can.

    Args:
        out: Directory to make. An empty directory there may be replaced, and one that holds nothing but the files of
            a prepared directory.
        sources: Files and directories that will be read; none may be ``out`` or lie inside it.

    Raises:
        DataError: Something else is at ``out``, a source would be replaced, or no directory can be made there.
    """
    with _writing_to(out):
        for source in sources:
            if source.resolve().is_relative_to(out.resolve()):
                raise DataError(f"{out} holds the source {source}; choose another place to write to")
        if out.exists() and not (out.is_dir() and (_is_prepared(out) or not any(out.iterdir()))):
            raise DataError(
                f"{out} exists and is not a prepared directory; remove it or choose another place to write to"
            )
        target = out.resolve()
        name, parent = target.name, target.parent
        while not parent.exists():
            name, parent = parent.name, parent.parent
        if not parent.is_dir():
            raise DataError(f"expected a directory that can be written to, for {out}; {parent} is not")
        with contextlib.suppress(FileNotFoundError):
            (parent / f".{name}.replaced").lstat()  # an error if the name is too long
        with tempfile.TemporaryFile(dir=parent):
            pass


def _is_prepared(path: Path) -> bool:
    """Whether a directory holds a manifest of ours, of any version, and nothing but the files of a prepared one."""
    try:
        manifest = json.loads((path / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return False
    is_manifest = isinstance(manifest, dict) and {"format_version", "dataset", "files"} <= manifest.keys()
    return is_manifest and _holds_our_files(path)


def _holds_our_files(path: Path) -> bool:
    """Whether a directory holds files of a prepared one, and nothing else."""
    entries = list(path.iterdir())
    return bool(entries) and all(entry.is_file() and entry.name in {MANIFEST, *CARDS, *FILES} for entry in entries)


@contextlib.contextmanager
def _writing_to(out: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"cannot write to {out}: {one_line(error)}; choose another place to write to") from error

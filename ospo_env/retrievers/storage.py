"""Arrays of indexes on disk: built once, checked when first opened, memory-mapped and shared by processes."""

import contextlib
import json
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from envs_data.cache import CACHE_VARIABLE, FileIdentity, cache_directory, recall, remember
from envs_data.errors import one_line
from envs_data.files import file_sha256
from ospo_env.errors import RetrieverError

__all__ = ["Check", "StoredArrays", "index_arrays", "stored_arrays"]

_FOLDER = "indexes-2"  # 2: with digests
_MANIFEST = "index.json"
_CHECKS = 1  # goes up when other things are checked as an index is opened
_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_STORED_FROM = 20_000  # documents; fewer are indexed in a few seconds at most, and need little memory
_PATIENCE = 2.0  # seconds of waiting for another process before a line on the terminal says so


Check: TypeAlias = Callable[[Mapping[str, NDArray[Any]]], None]
"""Raises ``ValueError`` unless arrays fit together, as compiled code that follows their offsets relies on."""


class StoredArrays(dict[str, NDArray[Any]]):
    """Read-only arrays by name, memory-mapped from the files of one directory.

    Pickles as its directory path; unpickling memory-maps the same files. When a directory is first opened, each file
    has to have the digest that was recorded when it was built, and the arrays have to fit together. The cache directory
    remembers both for files of the same identity.

    Args:
        directory: The directory of an index.
        check: Checks that the arrays fit together.
        built: Whether this process has just built the directory and knows its content.

    Raises:
        RetrieverError: The directory is not what was built.
    """

    def __init__(self, directory: Path, check: Check, built: bool = False) -> None:
        super().__init__(_opened(directory, check, built))
        self._directory = directory
        self._check = check

    def __reduce__(self) -> tuple[type["StoredArrays"], tuple[Path, Check]]:
        return StoredArrays, (self._directory, self._check)


def stored_arrays(key: str, build: Callable[[Path], None], *, check: Check, label: str) -> dict[str, NDArray[Any]]:
    """The arrays under a key: the first process that asks builds them, later ones map them from disk.

    They are kept in ``indexes-2/KEY`` of the cache directory (``$OSPO_CACHE_DIR``, or the user's) and may be deleted
    while no process uses them. Processes that ask at the same time wait for the one that builds. A build that fails or
    is killed leaves nothing that could be taken for an index.

    Args:
        key: Digest of all that decides the content, such as a retriever's fingerprint: letters, digits and ``._-``.
        build: Called with an empty directory when there is nothing under the key; writes ``NAME.npy`` for each array,
            big ones with :class:`ArrayFile`.
        check: Checks that the arrays fit together; picklable.
        label: Name of the index, for messages; on a terminal, stderr also gets the time that the build took.

    Returns:
        The arrays by name, read-only, as :class:`StoredArrays`.

    Raises:
        ValueError: The key cannot name a directory.
        RetrieverError: The directory is not what was built, or cannot be used.
    """
    if not _KEY.fullmatch(key):
        raise ValueError(f"expected a key of letters, digits and ._-; got {key!r}")
    directory = (cache_directory() / _FOLDER / key).absolute()
    built = False
    if not directory.exists():
        try:
            directory.parent.mkdir(parents=True, exist_ok=True)
            with _locked(directory, label):
                if not directory.exists():
                    _make(directory, build, label)
                    built = True
        except OSError as error:
            raise RetrieverError(
                f"cannot keep {label} at {directory} ({one_line(error)}); make room there, or set {CACHE_VARIABLE} to "
                "a directory that can be written"
            ) from error
    return StoredArrays(directory, check, built)


def index_arrays(
    key: str, build: Callable[[Path], None], *, check: Check, documents: int, label: str
) -> Mapping[str, NDArray[Any]]:
    """The arrays of an index: on disk from 20,000 documents on, built anew in memory for fewer.

    Fewer are indexed in a few seconds at most, and a small corpus, of a test for example, leaves nothing behind.

    Args:
        key: As for :func:`stored_arrays`.
        build: As for :func:`stored_arrays`.
        check: As for :func:`stored_arrays`.
        documents: Size of the corpus.
        label: As for :func:`stored_arrays`.

    Returns:
        The arrays by name, not to be written to.

    Raises:
        RetrieverError: As from :func:`stored_arrays`.
    """
    if documents >= _STORED_FROM:
        return stored_arrays(key, build, check=check, label=label)
    with tempfile.TemporaryDirectory(prefix="ospo-") as directory:
        build(Path(directory))
        return {path.stem: np.load(path) for path in sorted(Path(directory).iterdir())}


@contextmanager
def _locked(directory: Path, label: str) -> Iterator[None]:
    """Run the block alone among all processes; the lock of a process that ends goes to the next one."""
    lock = _lock_of(directory)
    try:
        lock.acquire(timeout=_PATIENCE)
    except Timeout:
        _say(f"{label}: waiting for another process that builds it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _lock_of(directory: Path) -> FileLock:
    return FileLock(directory.parent / f".{directory.name}.lock")


def _remove_abandoned(folder: Path) -> None:
    """Remove the unfinished indexes whose lock no process holds: those that built them were killed."""
    for partial in folder.glob(".*.partial"):
        lock = _lock_of(folder / partial.name.removeprefix(".").removesuffix(".partial"))
        with contextlib.suppress(Timeout), lock.acquire(timeout=0):
            shutil.rmtree(partial, ignore_errors=True)


def _make(directory: Path, build: Callable[[Path], None], label: str) -> None:
    """Build beside the directory and rename it; the caller holds the lock."""
    partial = directory.parent / f".{directory.name}.partial"
    _remove_abandoned(directory.parent)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    start = time.monotonic()
    _say(f"{label}: building, once for this content")
    try:
        build(partial)
        content = json.dumps({"arrays": {path.stem: _described(path) for path in sorted(partial.iterdir())}}, indent=2)
        (partial / _MANIFEST).write_text(content + "\n", encoding="utf-8")
        size = sum(path.stat().st_size for path in partial.iterdir())
        partial.rename(directory)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    _say(f"{label}: built in {time.monotonic() - start:.0f} s, {size / 2**20:,.0f} MiB at {directory}")


def _described(path: Path) -> dict[str, Any]:
    array = np.load(path, mmap_mode="r")
    return {"shape": list(array.shape), "dtype": array.dtype.str, "sha256": file_sha256(path)}


def _opened(directory: Path, check: Check, built: bool) -> dict[str, NDArray[Any]]:
    try:
        listed = json.loads((directory / _MANIFEST).read_bytes())["arrays"]
        files = {name: directory / f"{name}.npy" for name in listed}
        identities = [FileIdentity.of(file) for file in files.values()]
        subject = f"index {_CHECKS} {json.dumps(listed, sort_keys=True)}"
        checked = built or recall(subject, identities) is not None
        if not checked:
            for name, file in files.items():
                _check_digest(file, listed[name]["sha256"])
        arrays = {name: _mapped(file, **listed[name]) for name, file in files.items()}
        if not checked:
            check(arrays)
            remember(subject, identities, "complete")
        return arrays
    except Exception as error:  # parsers of damaged files raise many kinds
        raise RetrieverError(
            f"the index at {directory} is not what was built ({one_line(f'{type(error).__name__}: {error}')}); remove "
            "that directory and it is built again"
        ) from error


def _check_digest(path: Path, sha256: str) -> None:
    if file_sha256(path) != sha256:
        raise ValueError(f"{path.name} does not have the digest that {_MANIFEST} records")


def _mapped(path: Path, shape: list[int], dtype: str, sha256: str) -> NDArray[Any]:
    array = np.load(path, mmap_mode="r")
    if list(array.shape) != shape or array.dtype.str != dtype:
        raise ValueError(f"expected {dtype} of shape {shape} in {path.name}, got {array.dtype.str} {list(array.shape)}")
    return np.asarray(array)  # a plain view of the mapping, which is faster to index


def _say(line: str) -> None:
    if sys.stderr.isatty():
        print(line, file=sys.stderr)  # noqa: T201 - progress, on a terminal only

"""Arrays of indexes on disk: built once, checked when opened, mapped into memory and shared by processes."""

import json
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from envs_data.cache import CACHE_VARIABLE, cache_directory
from envs_data.errors import one_line
from ospo_env.errors import RetrieverError

__all__ = ["StoredArrays", "index_arrays", "stored_arrays"]

_MANIFEST = "index.json"
_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_STORED_FROM = 20_000  # documents; fewer are indexed in a few seconds at most, and need little memory
_PATIENCE = 2.0  # seconds of waiting for another process before that is said


class StoredArrays(dict[str, NDArray[Any]]):
    """Read-only arrays by name, mapped from the files of one directory.

    Pickled as the place where they lie: whoever unpickles them maps the same files.

    Args:
        directory: Where they lie.

    Raises:
        RetrieverError: The directory is not what was built.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__(_opened(directory))
        self._directory = directory

    def __reduce__(self) -> tuple[type["StoredArrays"], tuple[Path]]:
        return StoredArrays, (self._directory,)


def stored_arrays(key: str, build: Callable[[Path], None], *, label: str) -> dict[str, NDArray[Any]]:
    """The arrays under a key: built by whichever process asks first, and mapped from disk from then on.

    They lie in ``indexes/KEY`` of the cache directory (``$OSPO_CACHE_DIR``, or the user's) and may be deleted
    whenever no process uses them. Processes that ask at once wait for the one that builds. A build that fails or is
    killed leaves nothing that would be taken for an index.

    Args:
        key: Digest of all that decides the content, such as a retriever's fingerprint: letters, digits and ``._-``.
        build: Called with an empty directory when there is nothing under the key; writes ``NAME.npy`` for each array,
            big ones with :class:`ArrayFile`.
        label: What is built, for messages; said with the time it took where stderr is a terminal.

    Returns:
        The arrays by name, read-only. Pickled, they are the place where they lie.

    Raises:
        ValueError: The key cannot name a directory.
        RetrieverError: What lies there is not what was built, or the directory cannot be used.
    """
    if not _KEY.fullmatch(key):
        raise ValueError(f"expected a key of letters, digits and ._-; got {key!r}")
    directory = (cache_directory() / "indexes" / key).absolute()
    if not directory.exists():
        try:
            directory.parent.mkdir(parents=True, exist_ok=True)
            with _locked(directory, label):
                if not directory.exists():
                    _make(directory, build, label)
        except OSError as error:
            raise RetrieverError(
                f"cannot keep {label} at {directory} ({one_line(error)}); make room there, or set {CACHE_VARIABLE} to "
                "a directory that can be written"
            ) from error
    return StoredArrays(directory)


def index_arrays(key: str, build: Callable[[Path], None], *, documents: int, label: str) -> Mapping[str, NDArray[Any]]:
    """The arrays of an index: on disk from 20,000 documents on, built anew in memory for fewer.

    Fewer are indexed in a few seconds at most, and a small corpus, of a test for example, should leave nothing behind.

    Args:
        key: As for :func:`stored_arrays`.
        build: Likewise.
        documents: Size of the corpus.
        label: As for :func:`stored_arrays`.

    Returns:
        The arrays by name, not to be written to.

    Raises:
        RetrieverError: As from :func:`stored_arrays`.
    """
    if documents >= _STORED_FROM:
        return stored_arrays(key, build, label=label)
    with tempfile.TemporaryDirectory(prefix="ospo-") as directory:
        build(Path(directory))
        return {path.stem: np.load(path) for path in sorted(Path(directory).iterdir())}


@contextmanager
def _locked(directory: Path, label: str) -> Iterator[None]:
    """Alone among all processes; the system gives the lock of a process that ends to the next one."""
    lock = FileLock(directory.parent / f".{directory.name}.lock")
    try:
        lock.acquire(timeout=_PATIENCE)
    except Timeout:
        _say(f"{label}: waiting for another process that builds it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _make(directory: Path, build: Callable[[Path], None], label: str) -> None:
    """Build beside the directory and rename; the lock is held, so that whatever lies there was left by a dead one."""
    partial = directory.parent / f".{directory.name}.partial"
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
    return {"shape": list(array.shape), "dtype": array.dtype.str, "bytes": path.stat().st_size}


def _opened(directory: Path) -> dict[str, NDArray[Any]]:
    try:
        listed = json.loads((directory / _MANIFEST).read_bytes())["arrays"]
        return {name: _mapped(directory / f"{name}.npy", **about) for name, about in listed.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RetrieverError(
            f"the index at {directory} is not what was built ({one_line(f'{type(error).__name__}: {error}')}); remove "
            "that directory and it is built again"
        ) from error


def _mapped(path: Path, shape: list[int], dtype: str, bytes: int) -> NDArray[Any]:
    size = path.stat().st_size
    if size != bytes:
        raise ValueError(f"expected {bytes:,} bytes in {path.name}, got {size:,}")
    array = np.load(path, mmap_mode="r")
    if list(array.shape) != shape or array.dtype.str != dtype:
        raise ValueError(f"expected {dtype} of shape {shape} in {path.name}, got {array.dtype.str} {list(array.shape)}")
    return np.asarray(array)  # a plain view of the mapping: indexing one costs less


def _say(line: str) -> None:
    if sys.stderr.isatty():
        print(line, file=sys.stderr)  # noqa: T201 - progress, on a terminal only

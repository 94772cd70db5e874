"""Directories written completely or not at all, by one process at a time."""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from envs_data.errors import DataError
from envs_data.files import flush_to_disk

__all__ = ["replace_directory", "restore_directory"]

_PATIENCE = 600.0  # seconds to wait for another process that writes the same directory


@contextlib.contextmanager
def replace_directory(out: Path, is_ours: Callable[[Path], bool]) -> Iterator[Path]:
    """Yield an empty directory that takes the place of ``out`` if the block ends without an error.

    A process that is killed may leave its directory under a temporary name, or the earlier one under another. Since a
    lock is held as long as its process lives, what lies under these names while the lock is free belongs to nobody:
    it is removed or put back here, for ``out`` and for the directories beside it.

    Args:
        out: Directory to replace or make; files only, no directories, may be written into it.
        is_ours: Whether a directory under a temporary name was made here; asked about those beside ``out``.

    Raises:
        DataError: Another process has been writing to ``out`` for ten minutes.
        OSError: The directory cannot be written or renamed.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with _lock(out, _PATIENCE):
        _clean(out)
        for leftover in sorted([*out.parent.glob(".*.partial"), *out.parent.glob(".*.replaced")]):
            with contextlib.suppress(OSError, DataError):
                if is_ours(leftover):
                    restore_directory(out.parent / leftover.stem.removeprefix("."), patience=0.0)
        partial = _beside(out, "partial")
        partial.mkdir()
        try:
            yield partial
            for path in (*partial.iterdir(), partial):
                flush_to_disk(path)
            _swap(partial, out)
            flush_to_disk(out.parent)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def restore_directory(out: Path, patience: float = 5.0) -> None:
    """Undo what a process that was killed while it replaced ``out`` left there.

    Args:
        out: Directory that was replaced.
        patience: Seconds to wait for a living process that is replacing it.

    Raises:
        DataError: A living process is still writing to ``out``.
        OSError: A directory cannot be renamed.
    """
    if _beside(out, "partial").exists() or _beside(out, "replaced").exists():
        with _lock(out, patience):
            _clean(out)


def _beside(out: Path, ending: str) -> Path:
    return out.parent / f".{out.name}.{ending}"


@contextlib.contextmanager
def _lock(out: Path, patience: float) -> Iterator[None]:
    """Hold the lock of a directory; its file is removed under the lock, which those who wait for it notice."""
    path = _beside(out, "lock")
    try:
        with FileLock(path, timeout=patience):
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
    except Timeout as error:
        raise DataError(f"another process has been writing to {out} for {patience:.0f} seconds; wait for it") from error


def _clean(out: Path) -> None:
    """Remove the directories of a dead process; the earlier one is put back if its successor is not in place."""
    replaced = _beside(out, "replaced")
    if replaced.exists() and not out.exists():
        replaced.rename(out)
    for path in (replaced, _beside(out, "partial")):
        shutil.rmtree(path, ignore_errors=True)


def _swap(partial: Path, out: Path) -> None:
    """Rename a directory to ``out``; an earlier one is removed if that succeeds, and put back otherwise."""
    if not out.exists():
        partial.rename(out)
        return
    replaced = _beside(out, "replaced")
    out.rename(replaced)
    try:
        partial.rename(out)
    except BaseException:
        replaced.rename(out)
        raise
    shutil.rmtree(replaced, ignore_errors=True)

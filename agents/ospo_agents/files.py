"""Atomic writing of files. A copy of ``envs_data.files`` in part, since learners do not import data packages."""

import os
from pathlib import Path

__all__ = ["sync_directory", "sync_entry", "sync_file", "write_atomically"]


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file under a temporary name in its directory, then rename it.

    Readers see the old or the new content, also after a loss of power.
    """
    partial = path.parent / f".{path.name}.partial-{os.getpid()}"
    try:
        with partial.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
        sync_entry(path)
    finally:
        partial.unlink(missing_ok=True)


def sync_file(path: Path) -> None:
    """Have the content of a file on the disk."""
    with path.open("r+b") as stream:
        os.fsync(stream.fileno())


def sync_directory(directory: Path) -> None:
    """Have all files below a directory on the disk, so that a new name of it cannot outlive them."""
    for path in directory.rglob("*"):
        if path.is_file():
            sync_file(path)
        else:
            _sync_names(path)
    _sync_names(directory)


def sync_entry(path: Path) -> None:
    """Have the name of a file or directory on the disk."""
    _sync_names(path.parent)


def _sync_names(directory: Path) -> None:
    if os.name == "nt":  # which opens no directory
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

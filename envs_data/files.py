"""Files written completely or not at all, digests of files, and the mark of synthetic ones."""

import hashlib
import os
from pathlib import Path

__all__ = ["SYNTHETIC_MARK", "file_sha256", "flush_to_disk", "is_synthetic", "write_atomically"]

SYNTHETIC_MARK = "SYNTHETIC.json"
"""A file of this name beside others says that they were generated."""


def file_sha256(path: Path) -> str:
    """SHA-256 hex digest of a file's bytes; the file is read in blocks."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file under a temporary name in its directory, then rename it: readers see the old content or the new.

    The content is on disk before the rename, so that a power cut leaves one of the two as well.
    """
    partial = path.parent / f".{path.name}.partial-{os.getpid()}"
    try:
        partial.write_bytes(content)
        flush_to_disk(partial)
        partial.replace(path)
        flush_to_disk(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def flush_to_disk(path: Path) -> None:
    """Wait until a file's content, or the names in a directory, are on disk.

    Systems that cannot open directories (Windows) write names by themselves.
    """
    if path.is_dir() and os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_synthetic(source: Path) -> bool:
    """Whether the files of a directory say that they were generated rather than collected from shoppers."""
    return (source / SYNTHETIC_MARK).is_file()

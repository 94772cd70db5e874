"""Files written all or nothing, digests of files, and the mark of synthetic ones."""

import hashlib
import os
from pathlib import Path

__all__ = ["SYNTHETIC_MARK", "file_sha256", "is_synthetic", "write_atomically"]

SYNTHETIC_MARK = "SYNTHETIC.json"
"""A file of this name beside others says that they were generated."""


def file_sha256(path: Path) -> str:
    """SHA-256 hex digest of a file's bytes; the file is read in blocks."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file under a temporary name in its directory, then rename it: readers see the old content or the new."""
    partial = path.parent / f".{path.name}.partial-{os.getpid()}"
    try:
        partial.write_bytes(content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def is_synthetic(source: Path) -> bool:
    """Whether the files of a directory say that they were generated rather than collected from shoppers."""
    return (source / SYNTHETIC_MARK).is_file()

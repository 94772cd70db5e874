"""Files written all or nothing, and digests of files."""

import hashlib
import os
from pathlib import Path

__all__ = ["file_sha256", "write_atomically"]


def file_sha256(path: Path) -> str:
    """Hex digest of a file's bytes, read in blocks."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file under a temporary name beside it, then rename it: readers see all of it or nothing."""
    partial = path.parent / f".{path.name}.partial-{os.getpid()}"
    try:
        partial.write_bytes(content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)

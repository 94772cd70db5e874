"""Atomic writing of files. A copy of ``envs_data.files`` in part, since learners do not import data packages."""

import os
from pathlib import Path

__all__ = ["write_atomically"]


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file under a temporary name in its directory, then rename it: readers see the old or the new content."""
    partial = path.parent / f".{path.name}.partial-{os.getpid()}"
    try:
        partial.write_bytes(content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)

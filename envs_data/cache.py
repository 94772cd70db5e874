"""Where this project keeps what it can make again: the embedded sample, indexes, and what it found out about files."""

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import platformdirs

__all__ = ["CACHE_VARIABLE", "FileIdentity", "cache_directory", "recall", "remember"]

CACHE_VARIABLE = "OSPO_CACHE_DIR"
"""Environment variable that names another directory."""

_SETTLED = 2 * 10**9  # ns without a change after which a file's identity tells its content


def cache_directory() -> Path:
    """``$OSPO_CACHE_DIR``, or the user's cache directory of this platform; it need not exist yet."""
    return Path(os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_dir("ospo"))


@dataclass(frozen=True)
class FileIdentity:
    """What changes when a file is replaced or written to.

    Attributes:
        size: In bytes.
        changed: Time of the last change, in ns.
        inode: Its number in the file system.
        device: The file system.
    """

    size: int
    changed: int
    inode: int
    device: int

    @classmethod
    def of(cls, path: Path) -> "FileIdentity":
        """The identity that a file has now.

        Raises:
            OSError: It is not there.
        """
        said = path.stat()
        return cls(said.st_size, said.st_mtime_ns, said.st_ino, said.st_dev)


def remember(about: str, files: Sequence[FileIdentity], said: str) -> None:
    """Keep what was found out about files as they are now.

    Nothing is kept of files that changed within the last two seconds, since another change might leave their time as
    it is, nor where the cache directory cannot be written to: it is then found out again.

    Args:
        about: What was looked into, and by which version of the code.
        files: Identities from before that was done.
        said: What was found.
    """
    if max(file.changed for file in files) > time.time_ns() - _SETTLED:
        return
    path = _note(about, files)
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(said, encoding="utf-8")
        partial.replace(path)


def recall(about: str, files: Sequence[FileIdentity]) -> str | None:
    """What :func:`remember` kept about files that are still the same, or ``None``."""
    try:
        return _note(about, files).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _note(about: str, files: Sequence[FileIdentity]) -> Path:
    key = json.dumps([about, [astuple(file) for file in files]])
    return cache_directory() / "found" / hashlib.sha256(key.encode()).hexdigest()

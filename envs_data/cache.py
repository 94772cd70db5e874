"""The cache directory, and facts about files that are remembered there.

The cache holds only what this project can make again: the embedded sample, indexes, and results of checks of files.
"""

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import platformdirs

from envs_data.errors import DataError
from envs_data.files import write_atomically

__all__ = ["CACHE_VARIABLE", "FileIdentity", "cache_directory", "recall", "remember"]

CACHE_VARIABLE = "OSPO_CACHE_DIR"
"""Environment variable that names the cache directory."""

_SETTLED = 2 * 10**9  # ns without a change after which equal identities mean equal content


def cache_directory() -> Path:
    """Path of the cache directory: ``$OSPO_CACHE_DIR``, or this platform's for the user; it may not exist yet.

    Raises:
        DataError: The variable is not set, and the user has no home directory.
    """
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen)
    try:
        path = Path(platformdirs.user_cache_dir("ospo"))
    except RuntimeError:  # new versions of platformdirs; older ones return "~/..."
        path = Path("~")
    if not path.is_absolute():
        raise DataError(f"there is no home directory to keep files in; set {CACHE_VARIABLE} to a directory")
    return path


@dataclass(frozen=True)
class FileIdentity:
    """Properties of a file that change when it is replaced or written to.

    Attributes:
        size: Size in bytes.
        modified: Time of the last change of the content, in ns; any program can set it back.
        changed: Time of the last change of content, name count or attributes, in ns; only the system's clock sets it.
        inode: Number of the file in its file system.
        device: Number of the file system.
    """

    size: int
    modified: int
    changed: int
    inode: int
    device: int

    @classmethod
    def of(cls, path: Path) -> "FileIdentity":
        """Current identity of a file.

        Raises:
            OSError: The file does not exist or cannot be reached.
        """
        status = path.stat()
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev)


def remember(subject: str, files: Sequence[FileIdentity], fact: str) -> None:
    """Store a fact about files in the cache directory.

    Files that changed within the last two seconds are skipped, since another change could leave their time as it is.
    A cache directory that cannot be written to is no error: the fact is then worked out again.

    Args:
        subject: Subject of the fact, and the version of the code that worked it out.
        files: Identities of the files, taken before they were read.
        fact: The fact.
    """
    if max(max(file.modified, file.changed) for file in files) > time.time_ns() - _SETTLED:
        return
    with contextlib.suppress(OSError, DataError):
        path = _fact_path(subject, files)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, fact.encode())


def recall(subject: str, files: Sequence[FileIdentity]) -> str | None:
    """The fact that :func:`remember` stored about files of the same identities, or ``None``."""
    try:
        return _fact_path(subject, files).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, DataError):
        return None


def _fact_path(subject: str, files: Sequence[FileIdentity]) -> Path:
    key = json.dumps([subject, [astuple(file) for file in files]])
    return cache_directory() / "facts" / hashlib.sha256(key.encode()).hexdigest()

"""Where this project keeps what it can make again: the embedded sample, indexes, digests of files."""

import os
from pathlib import Path

import platformdirs

__all__ = ["CACHE_VARIABLE", "cache_directory"]

CACHE_VARIABLE = "OSPO_CACHE_DIR"
"""Environment variable that names another directory."""


def cache_directory() -> Path:
    """``$OSPO_CACHE_DIR``, or the user's cache directory of this platform; it need not exist yet."""
    return Path(os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_dir("ospo"))

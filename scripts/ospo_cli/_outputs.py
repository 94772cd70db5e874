"""Files and directories that a program will write, checked before its work starts."""

import os
import tempfile
from pathlib import Path

from ospo_agents import AgentError
from ospo_agents.files import write_atomically

__all__ = ["check_directory", "check_file", "write_file"]


def check_file(option: str, path: Path | None) -> None:
    """Check that a file can be written, and replaced if it exists. Nothing is left on disk.

    Args:
        option: The option that names it, for messages.
        path: The file; none is no check.

    Raises:
        AgentError: Something that is not a file is there, or its directory cannot be written to.
    """
    if path is None:
        return
    if path.is_dir():
        raise AgentError(f"{option}: expected a file to write, but {path} is a directory")
    if path.exists() and not path.is_file():
        raise AgentError(f"{option}: expected a file to write, but {path} is a device or a pipe")
    _check_writable(option, path, path.parent)


def check_directory(option: str, path: Path | None) -> None:
    """Check that files can be written into a directory, which need not exist yet. Nothing is left on disk.

    Args:
        option: The option that names it, for messages.
        path: The directory; none is no check.

    Raises:
        AgentError: Something else is there, or it cannot be written to.
    """
    if path is not None:
        _check_writable(option, path, path)


def write_file(path: Path, content: bytes) -> None:
    """Write a file, all of it or nothing, and the directories above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, content)


def _check_writable(option: str, path: Path, directory: Path) -> None:
    """Write an unnamed file into a directory, or into the nearest one above it that exists."""
    while not os.path.lexists(directory):
        directory = directory.parent
    try:
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise AgentError(f"{option}: cannot write {path}: {error.strerror or error} ({directory})") from error

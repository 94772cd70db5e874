"""The one place where programs print: nothing that a text holds is a command to the terminal.

Ids, titles, rewrites and messages come from files, models and endpoints. Their control characters are replaced, and a
reader that goes away (``| head``) ends no work: files are still written.
"""

import os
import sys
import warnings
from collections.abc import Callable
from typing import TextIO

__all__ = ["prepare_streams", "say", "say_error", "settle_streams", "warn", "write_raw"]


def say(text: str = "", *, cleaned: bool = False) -> None:
    """Print a text to standard output.

    Args:
        text: One line or more.
        cleaned: Whether the text is clean already; its colours are kept.
    """
    write_raw(sys.stdout, f"{text if cleaned else _clean(text)}\n")


def say_error(text: str) -> None:
    """Print a text to standard error."""
    write_raw(sys.stderr, f"{_clean(text)}\n")


def warn(message: str) -> None:
    """Print a warning to standard error."""
    say_error(f"warning: {message}")


def prepare_streams() -> None:
    """Make standard output and standard error fit for any text.

    A closed stream becomes one that drops what is written, a character that a stream's encoding lacks is written as an
    escape, and Python's warnings are cleaned lines.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    warnings.showwarning = lambda message, *where, **more: warn(str(message))


def settle_streams() -> None:
    """Write out what is buffered; what nobody reads any more is dropped, without a message at exit."""
    for stream in (sys.stdout, sys.stderr):
        _unless_closed(stream, stream.flush)


def write_raw(stream: TextIO, text: str) -> None:
    """Write a text as it is; if the reader of the stream has gone, nothing is written."""

    def write() -> None:
        stream.write(text)
        stream.flush()

    _unless_closed(stream, write)


def _clean(text: str) -> str:
    from ospo_env.rendering import terminal_text  # slow to import, and not needed for --help

    return terminal_text(text)


def _unless_closed(stream: TextIO, write: Callable[[], object]) -> None:
    """Write to a stream; if its reader has gone, whatever follows goes to the null device.

    Raises:
        OSError: The stream cannot be written to for another reason, such as a full disk.
    """
    try:
        write()
    except BrokenPipeError:
        _drop(stream)
    except OSError:
        _drop(stream)
        raise


def _drop(stream: TextIO) -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)

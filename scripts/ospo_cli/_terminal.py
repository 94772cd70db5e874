"""The one place where programs print: nothing that a text holds is a command to the terminal.

Ids, titles, rewrites and messages come from files, models and endpoints. Their control characters are replaced. A
reader that goes away (``| head``), a closed stream or a full disk behind a stream ends no work: files are written.
"""

import contextlib
import io
import os
import sys
import warnings
from collections.abc import Iterator

__all__ = ["prepare_streams", "say", "say_error", "settle_streams", "warn"]


def say(text: str = "", *, cleaned: bool = False) -> None:
    """Print a text to standard output.

    Args:
        text: One line or more.
        cleaned: Whether the text is clean already; its colours are kept.
    """
    sys.stdout.write(f"{text if cleaned else _clean(text)}\n")
    sys.stdout.flush()


def say_error(text: str) -> None:
    """Print a text to standard error."""
    sys.stderr.write(f"{_clean(text)}\n")
    sys.stderr.flush()


def warn(message: str) -> None:
    """Print a warning to standard error."""
    say_error(f"warning: {message}")


def prepare_streams() -> None:
    """Make standard output and standard error fit for any text and any end.

    A stream that cannot be written to any more drops what follows, a character that its encoding lacks is written as an
    escape, and Python's warnings are cleaned lines.
    """
    for name in ("stdout", "stderr"):
        setattr(sys, name, _Lasting.over(getattr(sys, name)))
    warnings.showwarning = lambda message, *where, **more: warn(str(message))


def settle_streams() -> None:
    """Write out what is buffered.

    Raises:
        OSError: Something could not be written, for another reason than that nobody reads it any more.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        if isinstance(stream, _Lasting) and stream.failure is not None:
            failure, stream.failure = stream.failure, None
            raise failure


class _Lasting(io.TextIOWrapper):
    """A text stream that drops what it cannot write.

    Attributes:
        failure: Why the first write failed, if that was not for want of a reader.
    """

    failure: OSError | None = None

    @classmethod
    def over(cls, stream: io.TextIOWrapper | None) -> "_Lasting":
        """The same stream, or the null device in place of a closed one."""
        if stream is None:
            return cls(open(os.devnull, "wb"), encoding="utf-8")
        encoding, line_buffering, write_through = stream.encoding, stream.line_buffering, stream.write_through
        return cls(
            stream.detach(),
            encoding=encoding,
            errors="backslashreplace",
            line_buffering=line_buffering,
            write_through=write_through,
        )

    def write(self, text: str, /) -> int:
        """Write a text, or drop it."""
        written = len(text)
        with self._dropping():
            written = super().write(text)
        return written

    def flush(self) -> None:
        """Write out what is buffered, or drop it."""
        with self._dropping():
            super().flush()

    @contextlib.contextmanager
    def _dropping(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if self.failure is None and not isinstance(error, BrokenPipeError):
                self.failure = error
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.fileno())
            os.close(null)


def _clean(text: str) -> str:
    from ospo_env.rendering import terminal_text  # slow to import, and not needed for --help

    return terminal_text(text)

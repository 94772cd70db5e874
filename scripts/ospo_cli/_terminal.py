"""The one place where programs print: nothing that a text holds is a command to the terminal.

Ids, titles, rewrites and messages come from files, models and endpoints. Their control characters are replaced. A
reader that goes away (``| head``), a closed stream or a full disk behind a stream ends no work: files are written.
"""

import contextlib
import io
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import NamedTuple

__all__ = ["Table", "prepare_streams", "say", "say_blocks", "say_error", "settle_streams", "warn"]

_STYLES = {"good": "green", "bad": "red", "": ""}


class Table(NamedTuple):
    """A table of text.

    Attributes:
        title: Its title.
        head: Names of its columns, the first of labels.
        rows: Cells of each row.
        tones: ``good``, ``bad`` or nothing for each cell, which colours it on a terminal; none for no colours.
        narrowest: Least width of a column of numbers in a pipe.
        plain: Lines of the table in a pipe, where it is laid out in another way than :meth:`lines` does.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    tones: tuple[tuple[str, ...], ...] = ()
    narrowest: int = 0
    plain: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """The table as it stands in a pipe: aligned text, with an empty line and the title in front.

        >>> Table("Means", ("policy", "bm25"), (("query", "0.1"),), narrowest=6).lines()
        ['', 'Means', 'policy    bm25', 'query      0.1']
        """
        if self.plain:
            return list(self.plain)
        cells = (self.head, *self.rows)
        widths = [max(self.narrowest, *map(len, column)) for column in zip(*cells, strict=True)]
        widths[0] = max(len(row[0]) for row in cells)
        aligned = [
            "  ".join([f"{row[0]:<{widths[0]}}", *(f"{c:>{w}}" for c, w in zip(row[1:], widths[1:], strict=True))])
            for row in cells
        ]
        return ["", self.title, *aligned]


def say(text: str = "", *, cleaned: bool = False) -> None:
    """Print a text to standard output.

    Args:
        text: One line or more.
        cleaned: Whether the text is clean already; its colours are kept.
    """
    sys.stdout.write(f"{text if cleaned else _clean(text)}\n")
    sys.stdout.flush()


def say_blocks(blocks: Sequence[str | Table]) -> None:
    """Print lines and tables: aligned text, and on a terminal tables by rich.

    Colours follow ``NO_COLOR`` and ``TERM``, as rich reads them.

    Args:
        blocks: Lines without their ends, and tables.
    """
    if not sys.stdout.isatty():
        say("\n".join(line for block in blocks for line in ([block] if isinstance(block, str) else block.lines())))
        return
    for block in blocks:
        if isinstance(block, str):
            say(block)
        else:
            _draw(block)


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


def _draw(table: Table) -> None:
    """Draw a table on the terminal that standard output is; nothing in its cells is markup or a command."""
    from rich import box  # slow to import, and not needed for --help
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    drawn = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in table.head:
        drawn.add_column(Text(_clean(name)), justify="right" if drawn.columns else "left", overflow="fold")
    tones = table.tones or [("",) * len(table.head)] * len(table.rows)
    for row, of_row in zip(table.rows, tones, strict=True):
        drawn.add_row(*(Text(_clean(cell), style=_STYLES[tone]) for cell, tone in zip(row, of_row, strict=True)))
    console = Console(file=sys.stdout, markup=False, emoji=False, highlight=False)
    console.print(Text(f"\n{_clean(table.title)}", style="bold"), drawn, sep="\n", end="")


def _clean(text: str) -> str:
    from ospo_env.rendering import terminal_text  # slow to import, and not needed for --help

    return terminal_text(text)

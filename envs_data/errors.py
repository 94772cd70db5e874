"""Errors raised for bad data, and pieces of their messages."""

import difflib
from collections.abc import Iterable, Sequence

__all__ = ["HOW_TO_PREPARE", "DataError", "FileFaults", "one_line", "unknown_name"]

HOW_TO_PREPARE = (
    "envs_data.prepare_esci(...) (or prepare_hm, prepare_tables, prepare_beir), or the command ospo prepare"
)
"""The calls, then the command, that make a prepared directory; for messages."""


class DataError(ValueError):
    """Input data is missing or wrong; the message is one line that says what was expected, what came and what to do."""


class FileFaults(DataError):
    """Rows of a user's own files are wrong; the message has a heading with their number, then a line for each.

    Attributes:
        faults: The faults listed, each ``FILE, row N, column C: expected ..., got ...``.
        total: Number of all faults, at least that of those listed.

    Args:
        faults: As above.
        total: As above.
    """

    def __init__(self, faults: Sequence[str], total: int) -> None:
        self.faults, self.total = tuple(faults), total
        more = [f"... and {total - len(faults):,} more"] if total > len(faults) else []
        heading = f"found {total:,} {'fault' if total == 1 else 'faults'}; nothing was written"
        super().__init__("\n".join([heading, *faults, *more]))


def unknown_name(kind: str, name: object, names: Iterable[str]) -> str:
    """Message for a name that is not in a table, with the nearest name that is, whatever its capitals.

    Args:
        kind: Kind of thing that is named, for example ``"retriever"``.
        name: The name that came.
        names: The names that are accepted.

    Returns:
        One line without a final full stop.

    >>> unknown_name("retriever", "bm52", ["lsa", "bm25"])
    "unknown retriever 'bm52'; did you mean 'bm25'? Known: bm25, lsa"
    """
    choices = sorted(names)
    near = _nearest(str(name), choices)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return f"unknown {kind} {name!r}{hint} Known: {', '.join(choices) or 'none'}"


def one_line(message: object, longest: int = 200) -> str:
    r"""Text of an object or error as one printable line of bounded length, to quote in a message.

    Args:
        message: Converted by ``str``; an exception without a message gives the name of its class.
        longest: Largest number of characters of the result, at least 3.

    >>> one_line("cannot read\n\n  column 'a'\x1b"), one_line("x" * 9, longest=6), one_line(KeyError())
    ("cannot read column 'a'?", 'xxx...', 'KeyError')
    """
    words = " ".join(str(message).split()) or type(message).__name__
    line = "".join(sign if sign.isprintable() else "?" for sign in words)
    return line if len(line) <= longest else line[: longest - 3] + "..."


def _nearest(name: str, names: Sequence[str]) -> list[str]:
    """The nearest of some names, or none: nearest in letters, then, among equal letters, nearest in capitals."""
    folded = difflib.get_close_matches(name.casefold(), [choice.casefold() for choice in names], n=1)
    alike = [choice for choice in names if [choice.casefold()] == folded]
    return difflib.get_close_matches(name, alike, n=1, cutoff=0.0)

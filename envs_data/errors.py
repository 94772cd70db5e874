"""The errors that bad data raises, and how messages name what came."""

import difflib
from collections.abc import Iterable, Sequence

__all__ = ["DataError", "FileFaults", "one_line", "unknown_name"]


class DataError(ValueError):
    """Input data is missing or wrong; the message is one line: what was expected, what came, what to do."""


class FileFaults(DataError):
    """Rows of a user's own files are wrong; the message has a line each, after one that says how many there are.

    Attributes:
        told: The faults told, each ``FILE, row N, column C: expected ..., got ...``.
        total: How many there are.

    Args:
        told: As above.
        total: As above.
    """

    def __init__(self, told: Sequence[str], total: int) -> None:
        self.told, self.total = tuple(told), total
        more = [f"... and {total - len(told):,} more"] if total > len(told) else []
        heading = f"found {total:,} {'fault' if total == 1 else 'faults'}; nothing was written"
        super().__init__("\n".join([heading, *told, *more]))


def unknown_name(kind: str, name: object, known: Iterable[str]) -> str:
    """One line for a name that is not in a table, with the nearest known one, whatever its capitals.

    Args:
        kind: What the name is a name of, for example ``"retriever"``.
        name: What came.
        known: The names that would have been accepted.

    Returns:
        The message, without a final full stop.

    >>> unknown_name("retriever", "bm52", ["lsa", "bm25"])
    "unknown retriever 'bm52'; did you mean 'bm25'? Known: bm25, lsa"
    """
    names = sorted(known)
    near = _nearest(str(name), names)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return f"unknown {kind} {name!r}{hint} Known: {', '.join(names) or 'none'}"


def one_line(said: object, longest: int = 200) -> str:
    r"""What somebody else's object or error says, fit for a message: one line, printable, of bounded length.

    Args:
        said: Taken as ``str(said)``; an exception that says nothing gives the name of its class.
        longest: Most characters of the result, at least 3.

    >>> one_line("cannot read\n\n  column 'a'\x1b"), one_line("x" * 9, longest=6), one_line(KeyError())
    ("cannot read column 'a'?", 'xxx...', 'KeyError')
    """
    words = " ".join(str(said).split()) or type(said).__name__
    line = "".join(sign if sign.isprintable() else "?" for sign in words)
    return line if len(line) <= longest else line[: longest - 3] + "..."


def _nearest(name: str, names: Sequence[str]) -> list[str]:
    """The nearest of some names, or none: by letters, and among those alike in letters by capitals."""
    folded = difflib.get_close_matches(name.casefold(), [known.casefold() for known in names], n=1)
    alike = [known for known in names if [known.casefold()] == folded]
    return difflib.get_close_matches(name, alike, n=1, cutoff=0.0)

"""The one error that bad data raises, and how an unknown name is reported."""

import difflib
from collections.abc import Iterable

__all__ = ["DataError", "unknown_name"]


class DataError(ValueError):
    """Input data is missing or wrong; the message is one line: what was expected, what came, what to do."""


def unknown_name(kind: str, name: object, known: Iterable[str]) -> str:
    """One line for a name that is not in a table, with the nearest known one.

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
    near = difflib.get_close_matches(str(name), names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return f"unknown {kind} {name!r}{hint} Known: {', '.join(names) or 'none'}"

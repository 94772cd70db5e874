"""Modes of a task, which say what the retriever is sent: options of programs, defaults, and words for a reader.

The names are those of ``ospo_env``'s arguments. Nothing that is slow to import is imported here.
"""

from collections.abc import Mapping
from typing import Any

__all__ = ["MODES", "add_modes", "mode_options", "modes_in_words", "modes_of"]

MODES: Mapping[str, Any] = {"compose": "replace", "query_weight": 1, "repeats": "count"}
"""The defaults, and the meaning of runs and files that do not name them."""


def add_modes(parser: Any, default: str = "{}") -> None:
    """Add the options ``--compose``, ``--query-weight`` and ``--repeats``; they are None where they are not given.

    Args:
        parser: Parser, or a group of one.
        default: Words for the default in the help texts, with a place for it.
    """
    shown = {name: f"(default: {default.format(value)})" for name, value in MODES.items()}
    parser.add_argument(
        "--compose",
        choices=("replace", "append"),
        help="text that the retriever is sent: the rewrite in place of the query (replace), or the query and then the "
        f"rewrite (append) {shown['compose']}",
    )
    parser.add_argument(
        "--query-weight",
        type=int,
        metavar="TIMES",
        help=f"times that the query counts in front of a rewrite, with --compose append {shown['query_weight']}",
    )
    parser.add_argument(
        "--repeats",
        choices=("count", "once"),
        help="weight of a repeated word: as often as it stands (count), or the same as once, since later copies are "
        f"not sent (once) {shown['repeats']}",
    )


def modes_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """The modes that some values name; the defaults for those that are missing or None."""
    return {name: default if values.get(name) is None else values[name] for name, default in MODES.items()}


def mode_options(modes: Mapping[str, Any]) -> list[str]:
    """Names of the modes that are not the defaults, as parts of a file's name.

    >>> mode_options({"compose": "append", "query_weight": 3, "repeats": "once"})
    ['append', 'query3', 'once']
    """
    before = {"query_weight": "query"}
    return [f"{before.get(name, '')}{modes[name]}" for name, default in MODES.items() if modes[name] != default]


def modes_in_words(modes: Mapping[str, Any]) -> str:
    """A phrase for what the retriever is sent; empty at the defaults.

    >>> modes_in_words({"compose": "append", "query_weight": 3, "repeats": "once"})
    'the query 3 times, then the rewrite; each word once'
    """
    phrases = []
    if modes["compose"] == "append":
        weight = modes["query_weight"]
        phrases.append("the query, then the rewrite" if weight == 1 else f"the query {weight} times, then the rewrite")
    if modes["repeats"] == "once":
        phrases.append("each word once")
    return "; ".join(phrases)

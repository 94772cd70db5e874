"""The one error that a wrong learner setting or policy directory raises."""

import difflib
from collections.abc import Iterable

__all__ = ["AgentError", "unknown"]


class AgentError(ValueError):
    """A setting, a name or a policy directory is wrong; the message is one line that says what to do."""


def unknown(kind: str, name: object, known: Iterable[str]) -> AgentError:
    """The error for a name that is not in a table, with the nearest known one.

    >>> unknown("solution", "shaply", ["owen", "shapley"])
    AgentError("unknown solution 'shaply'; did you mean 'shapley'? Known: owen, shapley")
    """
    names = sorted(known)
    near = difflib.get_close_matches(str(name), names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return AgentError(f"unknown {kind} {name!r}{hint} Known: {', '.join(names)}")

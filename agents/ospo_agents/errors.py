"""The errors of this package."""

import difflib
from collections.abc import Iterable, Sequence

__all__ = ["AgentError", "BudgetError", "unknown"]


class AgentError(ValueError):
    """Raised for a wrong setting, name, policy directory or worth; the message is one line that says what to do."""


class BudgetError(AgentError):
    """Raised where a solution of the game needs more evaluations than its budget."""


def unknown(kind: str, name: object, known: Iterable[str]) -> AgentError:
    """Error for a name that is not in a table; it suggests the nearest known name, whatever the capitals.

    >>> unknown("solution", "shaply", ["owen", "shapley"])
    AgentError("unknown solution 'shaply'; did you mean 'shapley'? Known: owen, shapley")
    """
    names = sorted(known)
    near = _nearest(str(name), names)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return AgentError(f"unknown {kind} {name!r}{hint} Known: {', '.join(names)}")


def _nearest(name: str, names: Sequence[str]) -> list[str]:
    """The nearest of some names, or none. Letters count first, then capitals."""
    folded = difflib.get_close_matches(name.casefold(), [known.casefold() for known in names], n=1)
    alike = [known for known in names if [known.casefold()] == folded]
    return difflib.get_close_matches(name, alike, n=1, cutoff=0.0)

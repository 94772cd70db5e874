"""Values in an answer of JSON, named by a path."""

from typing import Any

__all__ = ["values_at"]


def values_at(content: Any, path: str) -> list[Any]:
    """Values that a path leads to: names of members joined by dots; at a list it goes on in each item.

    Args:
        content: Parsed JSON.
        path: The path; ``null`` on its way is an empty list.

    Raises:
        LookupError: A member is missing, or something on the way has no members; the message says which.

    >>> values_at({"hits": {"hits": [{"_id": "a"}, {"_id": "b"}]}}, "hits.hits._id")
    ['a', 'b']
    """
    values = [content]
    for name in path.split("."):
        values = [member for value in values for member in _items(_member(value, name))]
    return values


def _member(value: Any, name: str) -> Any:
    if not isinstance(value, dict) or name not in value:
        found = ", ".join(map(str, list(value)[:10])) or "none" if isinstance(value, dict) else type(value).__name__
        raise LookupError(f"expected a member {name!r}; got {found}")
    return value[name]


def _items(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]

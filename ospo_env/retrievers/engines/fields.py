"""Names of fields, tables and paths in settings."""

from typing import NamedTuple

from ospo_env.errors import TaskError

__all__ = ["Field", "parse_fields"]


class Field(NamedTuple):
    """A field to search.

    Attributes:
        name: Its name.
        weight: Factor of its scores.
    """

    name: str
    weight: float


def parse_fields(kind: str, written: str) -> list[Field]:
    """Fields of a setting, joined by ``+``, each with a weight behind ``^`` where it is not 1.

    Args:
        kind: Name of the retriever, for messages.
        written: The setting.

    Raises:
        TaskError: A name is empty or comes twice, or a weight is not a number above 0.

    >>> parse_fields("tantivy", "title^2.5+text")
    [Field(name='title', weight=2.5), Field(name='text', weight=1.0)]
    """
    fields: list[Field] = []
    for part in written.split("+"):
        name, caret, weight = part.partition("^")
        try:
            field = Field(name, float(weight) if caret else 1.0)
        except ValueError:
            field = Field("", 0.0)
        if not field.name or not 0 < field.weight < float("inf") or name in [earlier.name for earlier in fields]:
            raise TaskError(
                f"expected the fields of the retriever {kind!r} as names joined by +, with weights behind ^, such as "
                f"title^2+text; got {written!r}"
            )
        fields.append(field)
    return fields

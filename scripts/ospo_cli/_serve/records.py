"""Requests for rewrites and their answers."""

from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["Answer", "Phrase", "Request"]


class Request(NamedTuple):
    """A request: all that an answer depends on, so that it is the key of a cache.

    Attributes:
        query: Text that the shopper typed, not blank, without lone surrogates.
        history: Earlier purchases, oldest first.
        guard: Whether the rewrite is to be compared with the raw query.
        phrases: Whether credit of the rewrite's phrases is asked for.
    """

    query: str
    history: tuple[str, ...] = ()
    guard: bool = False
    phrases: bool = False

    @property
    def plain(self) -> "Request":
        """The request for the rewrite alone, which needs no engine."""
        return Request(self.query, self.history)


class Phrase(NamedTuple):
    """A segment of a rewrite.

    Attributes:
        start: Its first character.
        end: The character after its last.
        text: Its characters.
        credit: Its part in causing the ranking, as in :mod:`ospo_env.evaluation.free_queries`.
    """

    start: int
    end: int
    text: str
    credit: float


@dataclass(frozen=True)
class Answer:
    """An answer.

    Attributes:
        rewrite: The rewrite that is served; that of the raw query where ``reason`` says why.
        sent: Text for the engine: what training sent for that rewrite.
        reason: None for the policy's rewrite. The raw query is served because the guard says so (``guard``), because
            the engine failed when the guard asked it (``guard-error``), because the policy wrote nothing (``blank``),
            or because it was too slow (``timeout``).
        phrases: Credit of the rewrite's phrases if the request asked for it; none of a raw query.
    """

    rewrite: str
    sent: str
    reason: str | None = None
    phrases: tuple[Phrase, ...] | None = None

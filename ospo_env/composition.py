"""The text that the retriever is sent: a rewrite instead of the query or behind it, with repeated words or without."""

from dataclasses import dataclass

from envs_data.errors import unknown_name
from ospo_env.errors import TaskError
from ospo_env.repeats import distinct_words, new_words, without_repeats
from ospo_env.text import cap_rewrite, starts_with

__all__ = ["COMPOSE", "REPEATS", "Composition"]

COMPOSE = ("replace", "append")
"""Places of a rewrite: instead of the query, or behind it."""

REPEATS = ("count", "once")
"""Weights of a repeated word: as often as it stands, or once."""

_MOST_WEIGHT = 100  # sums of integer term weights are exact far beyond


@dataclass(frozen=True)
class Composition:
    """Rule that makes the text that the retriever is sent from a query and a rewrite.

    With ``append`` the query stands in front, ``query_weight`` times, and a blank rewrite sends the query alone, once.
    With ``once`` a later copy of a word is not sent, nor is a copy of a word of a query in front.

    Attributes:
        compose: One of :data:`COMPOSE`.
        query_weight: Times that the query counts, in 1 .. 100; above 1 with ``append`` only.
        repeats: One of :data:`REPEATS`.

    Raises:
        TaskError: A setting is unknown or out of range, or they do not fit together.
    """

    compose: str = "replace"
    query_weight: int = 1
    repeats: str = "count"

    def __post_init__(self) -> None:
        for name, value, known in (("compose", self.compose, COMPOSE), ("repeats", self.repeats, REPEATS)):
            if value not in known:
                raise TaskError(unknown_name(name, value, known))
        weight = self.query_weight
        if not isinstance(weight, int) or isinstance(weight, bool) or not 1 <= weight <= _MOST_WEIGHT:
            raise TaskError(f"expected query_weight as an integer in 1 .. {_MOST_WEIGHT}; got {weight!r}")
        if weight > 1 and not self.appends:
            raise TaskError(
                f"query_weight {weight} counts the query in front of a rewrite, but compose='replace' sends no query; "
                "use compose='append'"
            )

    @property
    def appends(self) -> bool:
        """Whether the query is sent too."""
        return self.compose == "append"

    @property
    def once(self) -> bool:
        """Whether later copies of a word are not sent."""
        return self.repeats == "once"

    def known_words(self, query: str) -> frozenset[str]:
        """Words that a rewrite need not repeat, since they are sent anyway and count once."""
        return distinct_words(query) if self.appends and self.once else frozenset()

    def cap(self, rewrite: str, max_words: int, query: str) -> tuple[str, int]:
        """The part of a rewrite that counts, and how many words lie beyond the cap.

        Copies of words that are not sent do not count. The query itself is never cut, in front of a rewrite or at the
        start of one that replaces it.

        Args:
            rewrite: Any text.
            max_words: At least 1.
            query: The raw query.

        Returns:
            The rewrite up to its last word within the cap, all of it where no word lies beyond; and the number of words
            beyond.

        >>> Composition(repeats="once").cap("red red wool coat", 2, "coat")
        ('red red wool', 1)
        """
        if not self.once:
            return cap_rewrite(rewrite, max_words, "" if self.appends else query)
        words = new_words(rewrite, self.known_words(query))
        if len(words) > max_words and not self.appends and starts_with(rewrite, query):
            max_words = max(max_words, len(distinct_words(query)))
        if len(words) <= max_words:
            return rewrite, 0
        return rewrite[: words[max_words - 1].stop], len(words) - max_words

    def rewrite(self, kept: str, query: str) -> str:
        """The words of a rewrite that are sent, from those of it that are kept."""
        return without_repeats(kept, self.known_words(query)) if self.once else kept

    def raw(self, query: str) -> str:
        """The text that is sent for the raw query alone."""
        return without_repeats(query) if self.once else query

    def text(self, rewrite: str, query: str) -> str:
        """The text that is sent.

        Args:
            rewrite: The words to send, from :meth:`rewrite`.
            query: The raw query.

        >>> Composition("append", 2).text("wool", "red coat"), Composition("append", 2).text(" ", "red coat")
        ('red coat red coat wool', 'red coat')
        """
        if not self.appends:
            return rewrite
        raw = self.raw(query)
        return " ".join([*[raw] * self.query_weight, rewrite]) if rewrite.strip() else raw

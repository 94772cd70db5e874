"""How the sample's vocabulary is written down: catalogue phrases, and what shoppers say instead."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Attribute", "Term", "read_terms"]


@dataclass(frozen=True)
class Term:
    """One value of an attribute.

    Attributes:
        phrase: The catalogue's words, one to three of them, without punctuation: the size of a segment.
        everyday: What a shopper says instead, in wordings that share no word with ``phrase``; may be empty.
    """

    phrase: str
    everyday: tuple[str, ...]

    @classmethod
    def read(cls, line: str) -> "Term":
        """Read ``phrase: wording | wording``.

        >>> Term.read("crimson: red | cherry")
        Term(phrase='crimson', everyday=('red', 'cherry'))
        """
        phrase, _, everyday = line.partition(":")
        return cls(phrase.strip(), tuple(wording.strip() for wording in everyday.split("|") if wording.strip()))

    def say(self, rng: np.random.Generator) -> str:
        """One of the everyday wordings, each as likely as the others."""
        return self.everyday[int(rng.integers(len(self.everyday)))]


@dataclass(frozen=True)
class Attribute:
    """A property that documents and intents have a value of.

    Attributes:
        name: What it is, for example ``"colour"``.
        terms: Its values; documents and intents name them by position.
        siblings: For each value the positions of those it competes with (itself among them): what a careless
            demonstration may say instead.
    """

    name: str
    terms: tuple[Term, ...]
    siblings: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, name: str, families: Sequence[Sequence[Term]]) -> "Attribute":
        """An attribute whose values are given family by family; only values of one family are siblings."""
        siblings: list[tuple[int, ...]] = []
        for family in families:
            start = len(siblings)
            siblings += [tuple(range(start, start + len(family)))] * len(family)
        return cls(name, tuple(term for family in families for term in family), tuple(siblings))


def read_terms(table: str) -> tuple[Term, ...]:
    """The terms of a table, one a line.

    >>> [term.phrase for term in read_terms('''
    ... ivory: white | snowy
    ... ebony: black
    ... ''')]
    ['ivory', 'ebony']
    """
    return tuple(Term.read(line) for line in table.strip().splitlines())

"""How the sample's vocabulary is written down: catalogue phrases, and what shoppers say instead."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Attribute", "Bools", "Ints", "Term", "hearsay", "pick", "read_terms"]

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Term:
    """One value of an attribute.

    Attributes:
        phrase: The catalogue's words, one to three of them, without punctuation or stop words: the size of a segment.
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


@dataclass(frozen=True)
class Attribute:
    """A property that documents and intents have a value of.

    Attributes:
        name: What it is, for example ``"colour"``.
        terms: Its values; documents and intents name them by position.
        siblings: For each value the positions of those it competes with, itself among them: what a careless
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

    @property
    def phrases(self) -> list[str]:
        """The values as the catalogue writes them."""
        return [term.phrase for term in self.terms]


def read_terms(table: str) -> tuple[Term, ...]:
    """The terms of a table, one a line.

    >>> [term.phrase for term in read_terms('''
    ... ivory: white | snowy
    ... ebony: black
    ... ''')]
    ['ivory', 'ebony']
    """
    return tuple(Term.read(line) for line in table.strip().splitlines())


def pick(options: Sequence[str], rng: np.random.Generator) -> str:
    """One of the options, each as likely as the others."""
    return options[int(rng.integers(len(options)))]


def hearsay(attributes: Sequence[Attribute], row: Ints, right: float, wrong: float, rng: np.random.Generator) -> str:
    """The end of a description: now and then an attribute in everyday words, not always one that the document has.

    Only the first wording of a term ever stands in a document, so that no retriever can learn the others there.

    Args:
        attributes: A of them.
        row: Values of the document: (A,).
        right: Chance that an attribute's value is said, in [0, 1].
        wrong: Chance that any of its siblings is said, in [0, 1].
        rng: Source of randomness.

    Returns:
        A sentence with a space before it, or nothing.
    """
    said = []
    for attribute, value in zip(attributes, row, strict=True):
        if not attribute.terms[value].everyday:
            continue
        if rng.random() < right:
            said.append(attribute.terms[value].everyday[0])
        if rng.random() < wrong:
            said.append(attribute.terms[int(rng.choice(attribute.siblings[value]))].everyday[0])
    return f" Shoppers say: {', '.join(said)}." if said else ""

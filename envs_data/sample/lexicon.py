"""Format of the sample's vocabulary: catalogue phrases, and the everyday words of shoppers."""

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
        phrase: One to three words of the catalogue without punctuation or stop words, the size of a segment.
        everyday: Wordings of shoppers, which share no word with ``phrase``; may be empty.
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
    """A property of documents and intents.

    Attributes:
        name: Name of the property, for example ``"colour"``.
        terms: Its values; documents and intents refer to their positions.
        siblings: For each value the positions of its competitors, itself included; a careless demonstration may use
            any of them.
    """

    name: str
    terms: tuple[Term, ...]
    siblings: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, name: str, families: Sequence[Sequence[Term]]) -> "Attribute":
        """Make an attribute from families of values; only values of one family are siblings."""
        siblings: list[tuple[int, ...]] = []
        for family in families:
            start = len(siblings)
            siblings += [tuple(range(start, start + len(family)))] * len(family)
        return cls(name, tuple(term for family in families for term in family), tuple(siblings))

    @property
    def phrases(self) -> list[str]:
        """Catalogue phrases of the values."""
        return [term.phrase for term in self.terms]


def read_terms(table: str) -> tuple[Term, ...]:
    """Read the terms of a table, one a line.

    >>> [term.phrase for term in read_terms('''
    ... ivory: white | snowy
    ... ebony: black
    ... ''')]
    ['ivory', 'ebony']
    """
    return tuple(Term.read(line) for line in table.strip().splitlines())


def pick(options: Sequence[str], rng: np.random.Generator) -> str:
    """Draw one of the options, all equally likely."""
    return options[int(rng.integers(len(options)))]


def hearsay(attributes: Sequence[Attribute], row: Ints, right: float, wrong: float, rng: np.random.Generator) -> str:
    """Write the end of a description: some attributes in everyday words, and not always the document's own.

    Documents contain only the first wording of a term, so that no retriever can learn the others from them.

    Args:
        attributes: A attributes.
        row: Values of the document: (A,).
        right: Chance that an attribute's value is mentioned, in [0, 1].
        wrong: Chance that one of its siblings is mentioned, in [0, 1].
        rng: Source of randomness.

    Returns:
        A sentence after a space, or an empty text.
    """
    wordings = []
    for attribute, value in zip(attributes, row, strict=True):
        if not attribute.terms[value].everyday:
            continue
        if rng.random() < right:
            wordings.append(attribute.terms[value].everyday[0])
        if rng.random() < wrong:
            wordings.append(attribute.terms[int(rng.choice(attribute.siblings[value]))].everyday[0])
    return f" Shoppers say: {', '.join(wordings)}." if wordings else ""

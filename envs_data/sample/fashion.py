"""The synthetic clothes shop: a shopper states a need, and earlier purchases tell the taste.

Documents are put together by the shop's buyers, who follow a dozen styles (section, colour, pattern, fit) more or less closely.
A customer's taste is a style with the customer's own deviations; purchases lie near it, and what the customer
wants today usually, but not surely, follows it. The query says the type in everyday words, and often the occasion
(which stands for a fabric), a fit or a pattern.
"""

import os

import numpy as np
from numpy.typing import NDArray

from envs_data.sample.fashion_words import (
    COLOURS,
    FABRICS,
    FITS,
    GROUPS,
    LINES,
    PATTERNS,
    SECTIONS,
    STYLES,
)
from envs_data.sample.lexicon import Attribute, Term, read_terms
from envs_data.sample.shop import Ints, Needs, Shop
from envs_data.splits import random_stream

__all__ = ["DOCUMENTS", "make_shop"]

DOCUMENTS = 3_000
TYPE, SECTION, COLOUR, PATTERN, FIT, FABRIC = range(6)
_TASTES = (SECTION, COLOUR, PATTERN, FIT)
_SOLD = eval(os.environ.get("SOLD",".6"))
_TASTE = eval(os.environ.get("TASTE",".7"))
_WANTED = eval(os.environ.get("WANTED",".75"))
_HOME=.5
_MISS = np.array(eval(os.environ.get("MISS","(.01,.1,.15,.15)")))
_HISTORY = (3, 8)
_STATED = {PATTERN: 0.2, FIT: 0.2, FABRIC: 0.5}
_HINT, _STRAY = eval(os.environ.get("HINT","(.3,.2)"))


class _Tables:
    """The vocabulary as attributes, and as arrays of what goes with what."""

    def __init__(self) -> None:
        lines = [[line.split("//") for line in table.strip().splitlines()] for table in GROUPS.values()]
        simple = {"section": SECTIONS, "colour": COLOURS, "pattern": PATTERNS, "fit": FITS, "fabric": FABRICS}
        self.attributes = (
            Attribute.of("type", [[Term.read(line[0]) for line in group] for group in lines]),
            *(Attribute.of(name, [read_terms(table)]) for name, table in simple.items()),
        )
        names = [[term.phrase for term in attribute.terms] for attribute in self.attributes]
        self.fabric = np.array([names[FABRIC].index(line[1].strip()) for group in lines for line in group])
        self.groups = np.repeat(np.arange(len(lines)), [len(group) for group in lines])
        styles = [[name.strip() for name in line.split("//")] for line in STYLES.strip().splitlines()]
        # The values of each style: int (styles, 4), in the order of _TASTES.
        self.styles = np.array(
            [[names[place].index(name) for place, name in zip(_TASTES, style, strict=True)] for style in styles]
        )


def _stray(tables: _Tables, typical: Ints, chance: float, rng: np.random.Generator) -> Ints:
    """Values of the tastes (n, 4), each the typical one with the given chance and otherwise any."""
    sizes = [len(tables.attributes[place].terms) for place in _TASTES]
    return np.where(rng.random(typical.shape) < chance, typical, rng.integers(0, sizes, typical.shape))


def make_shop(seed: int) -> Shop:
    """The shop of a seed.

    Args:
        seed: At least 0.

    Returns:
        Its documents, and how to draw needs.
    """
    tables = _Tables()
    rng = random_stream(seed, "fashion documents")
    n_types, n_fabrics = len(tables.groups), len(tables.attributes[FABRIC].terms)

    def dress(types: Ints, tastes: Ints, rng: np.random.Generator) -> Ints:
        home = rng.random(len(types)) < _HOME
        fabrics = np.where(home, tables.fabric[types], rng.integers(0, n_fabrics, len(types)))
        return np.column_stack((types, tastes, fabrics))

    types = rng.permutation(np.arange(DOCUMENTS) % n_types)
    styles = tables.styles[rng.integers(0, len(tables.styles), DOCUMENTS)]
    values = dress(types, _stray(tables, styles, _SOLD, rng), rng)
    titles, texts = zip(*(_write(tables, row, rng) for row in values), strict=True)
    tastes: dict[bytes, Ints] = {}

    def draw(n: int, rng: np.random.Generator) -> Needs:
        styles = tables.styles[rng.integers(0, len(tables.styles), n)]
        taste = _stray(tables, styles, _TASTE, rng)
        wanted = dress(rng.integers(0, n_types, n), _stray(tables, taste, _WANTED, rng), rng)
        stated = np.zeros(wanted.shape, dtype=np.bool_)
        stated[:, TYPE] = True
        for place, chance in _STATED.items():
            stated[:, place] = rng.random(n) < chance
        return Needs(wanted, stated)

    def tell(values_: Ints, stated: NDArray[np.bool_], rng: np.random.Generator) -> tuple[str, list[str]]:
        taste = _stray(tables, values_[None, 1:5], _WANTED, rng)[0]
        misses = values[:, 1:5] != taste
        weights = np.where(misses, _MISS, 1.0).prod(axis=1) * (values[:, 0] != values_[0])
        n = int(rng.integers(_HISTORY[0], _HISTORY[1] + 1))
        bought = rng.choice(len(values), size=n, replace=False, p=weights / weights.sum())
        return _ask(tables, values_, stated, rng), [titles[row] for row in bought]

    complements = tables.complements if hasattr(tables,"complements") else (np.arange(n_types) + 15) % n_types
    return Shop(tables.attributes, values, titles, texts, tables.groups, complements, (1, 8), draw, tell)


def _write(tables: _Tables, row: Ints, rng: np.random.Generator) -> tuple[str, str]:
    """Title and text of a document."""
    type_, section, colour, pattern, fit, fabric = (
        attribute.terms[value].phrase for attribute, value in zip(tables.attributes, row, strict=True)
    )
    lines = LINES[section].split()
    title = f"{lines[int(rng.integers(len(lines)))]} {fit} {pattern}, {colour}, {type_}"
    group = list(GROUPS)[tables.groups[row[TYPE]]]
    text = (f"{title}. {type_} in {fabric}. {section}, {group}. {('Cut', 'Shape')[int(rng.integers(2))]}: {fit}. Pattern: {pattern}. Colour: {colour}. Section: {section}. Fabric: {fabric}."
    )
    return title, " ".join([text, *_hints(tables, row, rng)])


def _hints(tables: _Tables, row: Ints, rng: np.random.Generator) -> list[str]:
    """What reviewers say in a description: now and then an attribute in everyday words, not always the right one."""
    said = []
    for attribute, value in zip(tables.attributes, row, strict=True):
        if not attribute.terms[value].everyday: continue
        if rng.random() < _HINT:
            said.append(attribute.terms[value].everyday[0])
        if rng.random() < _STRAY:
            said.append(attribute.terms[int(rng.choice(attribute.siblings[value]))].everyday[0])
    return [f"Shoppers say: {', '.join(said)}."] if said else []


def _ask(tables: _Tables, row: Ints, stated: NDArray[np.bool_], rng: np.random.Generator) -> str:
    """A query: the type and the stated attributes in everyday words."""
    words = {
        place: tables.attributes[place].terms[value].say(rng) for place, value in enumerate(row) if stated[place]
    }
    tail = [
        blank.format(words[place])
        for place, blank in ((FABRIC, "for {}"), (FIT, "that is {}"), (PATTERN, "with {}"))
        if place in words
    ]
    opening = ("", "", "i need ", "looking for ")[int(rng.integers(4))]
    return opening + " ".join([words[TYPE], *(tail[place] for place in rng.permutation(len(tail)))])

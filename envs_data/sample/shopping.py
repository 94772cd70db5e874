"""The synthetic department store: documents in catalogue words, and the needs of shoppers who do not know them.

A document and an intent are drawn from the same distribution: a type; a use, often the one that the type is at home
in; and a material, a feature, a colour and an audience that usually, but not surely, go with the use. What a query
leaves unsaid can therefore be guessed from what it says, better than chance and not always rightly.
"""

import os

import numpy as np
from numpy.typing import NDArray

from envs_data.sample.lexicon import Attribute, Term, read_terms
from envs_data.sample.shop import Ints, Needs, Shop
from envs_data.sample.shopping_words import AUDIENCES, BRANDS, COLOURS, DEPARTMENTS
from envs_data.splits import random_stream

__all__ = ["DOCUMENTS", "make_shop"]

DOCUMENTS = 3_000
TYPE, COLOUR, MATERIAL, AUDIENCE, USE, FEATURE = range(6)
_PROFILES = 5  # a department
_HOME_USE = eval(os.environ.get("HOME_USE",".3"))

_SOLD = float(os.environ.get("SOLD",".3"))
_WANTED = float(os.environ.get("WANTED",".55"))
_STATED = eval(os.environ.get("STATED","(0.35,.5,.15)"))  # chances that a query states one, two or three attributes
_STATED_WEIGHTS = (0.26, 0.16, 0.16, 0.24, 0.18)  # in the order of the attributes
_HINT, _STRAY = eval(os.environ.get("HINT","(.06,.04)"))  # chances that a description says an attribute, or a wrong one, in everyday words


class _Tables:
    """The vocabulary as attributes, and as arrays of what goes with what."""

    def __init__(self) -> None:
        profiles = [[line.split("//") for line in group.profiles.strip().splitlines()] for group in DEPARTMENTS]
        column = [[tuple(Term.read(profile[place]) for profile in rows) for rows in profiles] for place in range(3)]
        colours = read_terms(COLOURS)
        audiences = {name: read_terms(table) for name, table in AUDIENCES.items()}
        families = list(audiences)
        self.attributes = (
            Attribute.of("type", [read_terms(group.types) for group in DEPARTMENTS]),
            Attribute.of("colour", [colours]),
            Attribute.of("material", column[1]),
            Attribute.of("audience", list(audiences.values())),
            Attribute.of("use", column[0]),
            Attribute.of("feature", column[2]),
        )
        # The value that is typical of each use, for the attributes that depend on it: int (uses,).
        named = [(profile[3].strip(), profile[4].strip()) for rows in profiles for profile in rows]
        uses = np.arange(len(DEPARTMENTS) * _PROFILES)
        phrases = {place: [term.phrase for term in self.attributes[place].terms] for place in (COLOUR, AUDIENCE)}
        self.typical = {
            MATERIAL: uses,
            FEATURE: uses,
            COLOUR: np.array([phrases[COLOUR].index(colour) for colour, _ in named]),
            AUDIENCE: np.array([phrases[AUDIENCE].index(audience) for _, audience in named]),
        }
        self.audience_start = np.array(
            [sum(len(audiences[name]) for name in families[: families.index(group.audiences)]) for group in DEPARTMENTS]
        )


def _draw(tables: _Tables, types: Ints, chance: float, rng: np.random.Generator) -> Ints:
    """Values of all attributes for things of the given types (n,): int64 (n, 6)."""
    n, group = len(types), types // _PROFILES
    values = np.empty((n, 6), dtype=np.int64)
    values[:, TYPE] = types
    at_home = rng.random(n) < _HOME_USE
    values[:, USE] = np.where(at_home, types, group * _PROFILES + rng.integers(0, _PROFILES, n))
    other = {
        MATERIAL: group * _PROFILES + rng.integers(0, _PROFILES, n),
        FEATURE: group * _PROFILES + rng.integers(0, _PROFILES, n),
        COLOUR: rng.integers(0, len(tables.attributes[COLOUR].terms), n),
        AUDIENCE: tables.audience_start[group] + rng.integers(0, 4, n),
    }
    for attribute, drawn in other.items():
        typical = tables.typical[attribute][values[:, USE]]
        values[:, attribute] = np.where(rng.random(n) < chance, typical, drawn)
    return values


def make_shop(seed: int) -> Shop:
    """The shop of a seed.

    Args:
        seed: At least 0.

    Returns:
        Its documents, and how to draw needs.
    """
    tables = _Tables()
    rng = random_stream(seed, "shopping documents")
    n_types = len(tables.attributes[TYPE].terms)
    values = _draw(tables, rng.permutation(np.arange(DOCUMENTS) % n_types), _SOLD, rng)
    titles, texts = zip(*(_write(tables, row, rng) for row in values), strict=True)

    def draw(n: int, rng: np.random.Generator) -> Needs:
        stated = np.zeros((n, 6), dtype=np.bool_)
        stated[:, TYPE] = True
        # The attributes with the smallest weighted draws are stated.
        order = np.argsort(rng.exponential(size=(n, 5)) / _STATED_WEIGHTS, axis=1)
        counts = 1 + rng.choice(3, size=n, p=_STATED)
        np.put_along_axis(stated, order + 1, np.arange(5) < counts[:, None], axis=1)
        return Needs(_draw(tables, rng.integers(0, n_types, n), _WANTED, rng), stated)

    def tell(values: Ints, stated: NDArray[np.bool_], rng: np.random.Generator) -> tuple[str, list[str]]:
        return _ask(tables, values, stated, rng), []

    complements = np.arange(n_types) // _PROFILES * _PROFILES + (np.arange(n_types) + 1) % _PROFILES
    return Shop(tables.attributes, values, titles, texts, np.arange(n_types) // _PROFILES, complements, (3, 10), draw, tell)


def _write(tables: _Tables, row: Ints, rng: np.random.Generator) -> tuple[str, str]:
    """Title and text of a document."""
    type_, colour, material, audience, use, feature = (
        tables.attributes[place].terms[value].phrase for place, value in enumerate(row)
    )
    brands = BRANDS.split()
    brand = brands[int(rng.integers(len(brands)))]
    title = f"{brand} {audience} {type_}, {colour}"
    parts = [
        f"{('Made of', 'Built from', 'Crafted in')[int(rng.integers(3))]} {material}.",
        f"{('Designed for', 'Recommended for', 'Ideal for')[int(rng.integers(3))]} {use}.",
        f"{('Highlight', 'Key feature', 'Benefit')[int(rng.integers(3))]}: {feature}.",
        f"Colour: {colour}.",
    ]
    parts = [parts[place] for place in rng.permutation(len(parts))]
    group = DEPARTMENTS[int(row[TYPE]) // _PROFILES].name
    return title, " ".join([f"{title}. {brand} {group} {type_} for {audience}.", *parts, *_hints(tables, row, rng)])


def _hints(tables: _Tables, row: Ints, rng: np.random.Generator) -> list[str]:
    """What reviewers say in a description: now and then an attribute in everyday words, not always the right one."""
    said = []
    for attribute, value in zip(tables.attributes, row, strict=True):
        if rng.random() < _HINT:
            said.append(attribute.terms[value].everyday[0])
        if rng.random() < _STRAY:
            said.append(attribute.terms[int(rng.choice(attribute.siblings[value]))].everyday[0])
    return [f"Shoppers say: {', '.join(said)}."] if said else []


def _ask(tables: _Tables, row: Ints, stated: NDArray[np.bool_], rng: np.random.Generator) -> str:
    """A query: the type and the stated attributes in everyday words."""
    words = {
        place: attribute.terms[value].say(rng)
        for place, (attribute, value) in enumerate(zip(tables.attributes, row, strict=True))
        if stated[place]
    }
    tail = [
        blank.format(words[place])
        for place, blank in ((MATERIAL, "made of {}"), (AUDIENCE, "for {}"), (USE, "for {}"), (FEATURE, "that {}"))
        if place in words
    ]
    opening = ("", "", "i need ", "looking for ")[int(rng.integers(4))]
    head = " ".join(words[place] for place in (COLOUR, TYPE) if place in words)
    return opening + " ".join([head, *(tail[place] for place in rng.permutation(len(tail)))])

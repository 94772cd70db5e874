"""The synthetic department store: documents in catalogue words, queries in the everyday words of shoppers.

A need is a type, a use (sometimes the usual one of the type), and a material, a feature, a colour and an audience that
usually, but not always, belong to the use. The unstated attributes of a query can therefore be guessed from the stated
ones, better than by chance. Documents are drawn likewise but are less typical, so that many fit the query and not the
intent.
"""

import numpy as np

from envs_data.sample.lexicon import Attribute, Bools, Ints, Term, hearsay, pick, read_terms
from envs_data.sample.shop import Needs, Shop
from envs_data.sample.shopping_words import AUDIENCES, BRANDS, COLOURS, DEPARTMENTS
from envs_data.splits import random_stream

__all__ = ["make_shop"]

_DOCUMENTS = 3_000
_TYPE, _COLOUR, _MATERIAL, _AUDIENCE, _USE, _FEATURE = range(6)
_PER_GROUP = 5  # types, uses, materials and features of a department
_HOME = 0.2  # chance that the use is the type's own; otherwise any of the department
_SOLD, _WANTED = 0.3, 0.4  # chance that an attribute of a document, of a need, is the use's own; otherwise any
_STATED = (0.35, 0.5, 0.15)  # chances that a query states one, two or three attributes besides the type
_STATED_WEIGHTS = (0.26, 0.16, 0.16, 0.24, 0.18)  # weight of stating each attribute, in their order
_RIGHT, _WRONG = 0.16, 0.13  # chances of true and false hearsay in a description, for each attribute


class _Tables:
    """The vocabulary as attributes, and arrays of the values that belong together.

    Attributes:
        attributes: The six attributes in their order.
        own: Value that belongs to each use, by attribute: int64 (uses,) each.
        first_audience: First of the four audiences of each department: int64 (departments,).
    """

    def __init__(self) -> None:
        profiles = [[line.split("//") for line in group.profiles.strip().splitlines()] for group in DEPARTMENTS]
        uses, materials, features = (
            [[Term.read(profile[place]) for profile in rows] for rows in profiles] for place in range(3)
        )
        self.attributes = (
            Attribute.of("type", [read_terms(group.types) for group in DEPARTMENTS]),
            Attribute.of("colour", [read_terms(COLOURS)]),
            Attribute.of("material", materials),
            Attribute.of("audience", [read_terms(table) for table in AUDIENCES.values()]),
            Attribute.of("use", uses),
            Attribute.of("feature", features),
        )
        colours, audiences = self.attributes[_COLOUR].phrases, self.attributes[_AUDIENCE].phrases
        flat = [profile for rows in profiles for profile in rows]
        self.own = {
            _COLOUR: np.array([colours.index(profile[3].strip()) for profile in flat]),
            _MATERIAL: np.arange(len(flat)),
            _AUDIENCE: np.array([audiences.index(profile[4].strip()) for profile in flat]),
            _FEATURE: np.arange(len(flat)),
        }
        first_phrases = {name: read_terms(table)[0].phrase for name, table in AUDIENCES.items()}
        self.first_audience = np.array([audiences.index(first_phrases[group.audiences]) for group in DEPARTMENTS])


def make_shop(seed: int) -> Shop:
    """Make the department store of a seed.

    Args:
        seed: From 0 to 2**63 - 1.

    Returns:
        The documents, and functions that draw needs and write queries.
    """
    tables, rng = _Tables(), random_stream(seed, "shopping documents")
    types = np.arange(len(tables.attributes[_TYPE].terms))
    values = _draw(tables, rng.permutation(np.arange(_DOCUMENTS) % len(types)), _SOLD, rng)
    titles, texts = zip(*(_write(tables, row, rng) for row in values), strict=True)

    def draw(n: int, rng: np.random.Generator) -> Needs:
        stated = np.zeros((n, len(tables.attributes)), dtype=np.bool_)
        stated[:, _TYPE] = True
        lots = np.argsort(rng.exponential(size=(n, len(_STATED_WEIGHTS))) / _STATED_WEIGHTS, axis=1)
        counts = 1 + rng.choice(len(_STATED), size=n, p=_STATED)
        np.put_along_axis(stated, lots + 1, np.arange(len(_STATED_WEIGHTS)) < counts[:, None], axis=1)
        return Needs(_draw(tables, rng.integers(0, len(types), n), _WANTED, rng), stated)

    def tell(values: Ints, stated: Bools, rng: np.random.Generator) -> tuple[str, list[str]]:
        return _ask(tables, values, stated, rng), []

    groups = types // _PER_GROUP
    complements = groups * _PER_GROUP + (types + 1) % _PER_GROUP
    return Shop(tables.attributes, values, titles, texts, groups, complements, (3, 10), draw, tell)


def _draw(tables: _Tables, types: Ints, typical: float, rng: np.random.Generator) -> Ints:
    """Values of all attributes for types (n,): each its use's own with the chance ``typical``; int64 (n, A)."""
    n, group = len(types), types // _PER_GROUP
    values = np.empty((n, len(tables.attributes)), dtype=np.int64)
    values[:, _TYPE] = types
    in_group = {place: group * _PER_GROUP + rng.integers(0, _PER_GROUP, n) for place in (_USE, _MATERIAL, _FEATURE)}
    values[:, _USE] = np.where(rng.random(n) < _HOME, types, in_group[_USE])
    any_value = {
        _COLOUR: rng.integers(0, len(tables.attributes[_COLOUR].terms), n),
        _MATERIAL: in_group[_MATERIAL],
        _AUDIENCE: tables.first_audience[group] + rng.integers(0, 4, n),
        _FEATURE: in_group[_FEATURE],
    }
    for place, own in tables.own.items():
        values[:, place] = np.where(rng.random(n) < typical, own[values[:, _USE]], any_value[place])
    return values


def _write(tables: _Tables, row: Ints, rng: np.random.Generator) -> tuple[str, str]:
    """Title and text of a document."""
    type_, colour, material, audience, use, feature = (
        attribute.terms[value].phrase for attribute, value in zip(tables.attributes, row, strict=True)
    )
    brand, group = pick(BRANDS.split(), rng), DEPARTMENTS[int(row[_TYPE]) // _PER_GROUP].name
    title = f"{brand} {audience} {type_}, {colour}"
    parts = [
        f"{pick(('Made of', 'Built from', 'Crafted in'), rng)} {material}.",
        f"{pick(('Designed for', 'Recommended for', 'Ideal for'), rng)} {use}.",
        f"{pick(('Highlight', 'Key feature', 'Benefit'), rng)}: {feature}.",
        f"Colour: {colour}.",
    ]
    details = " ".join(parts[place] for place in rng.permutation(len(parts)))
    heard = hearsay(tables.attributes, row, _RIGHT, _WRONG, rng)
    return title, f"{title}. {brand} {group} {type_} for {audience}. {details}{heard}"


def _ask(tables: _Tables, row: Ints, stated: Bools, rng: np.random.Generator) -> str:
    """Query with the type and the stated attributes in everyday words."""
    words = {
        place: pick(attribute.terms[value].everyday, rng)
        for place, (attribute, value) in enumerate(zip(tables.attributes, row, strict=True))
        if stated[place]
    }
    blanks = {_MATERIAL: "made of {}", _AUDIENCE: "for {}", _USE: "for {}", _FEATURE: "that must {}"}
    tail = [blank.format(words[place]) for place, blank in blanks.items() if place in words]
    head = [words[place] for place in (_COLOUR, _TYPE) if place in words]
    return pick(("", "", "i need ", "looking for "), rng) + " ".join(
        [*head, *(tail[place] for place in rng.permutation(len(tail)))]
    )

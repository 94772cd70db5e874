"""The synthetic clothes shop: the query states a need, and earlier purchases show the taste.

Documents follow one of a dozen styles (section, colour, pattern, fit) more or less closely; the fabric is often the
usual one of the type. A customer's taste is a style with deviations; purchases are close to it, and today's need
usually, but not always, follows it. The query names the type in everyday words, and often the occasion (which stands
for a fabric), a fit or a pattern.
"""

import numpy as np

from envs_data.sample.fashion_words import COLOURS, FABRICS, FITS, GROUPS, LINES, PATTERNS, SECTIONS, STYLES
from envs_data.sample.lexicon import Attribute, Bools, Ints, Term, hearsay, pick, read_terms
from envs_data.sample.shop import Needs, Shop
from envs_data.splits import random_stream

__all__ = ["make_shop"]

_DOCUMENTS = 3_000
_TYPE, _SECTION, _COLOUR, _PATTERN, _FIT, _FABRIC = range(6)
_TASTES = slice(_SECTION, _FABRIC)  # section, colour, pattern, fit
_SOLD, _TASTE, _WANTED = 0.7, 0.7, 0.75  # chances that a document follows a style, a taste a style, a need the taste
_HOME = 0.5  # chance that the fabric is the type's usual one; otherwise any
_STATED = {_PATTERN: 0.2, _FIT: 0.2, _FABRIC: 0.5}  # chance that a query states it
_LEAST, _MOST = 3, 8  # purchases of a history
_TOLERANCE = (0.01, 0.1, 0.15, 0.15)  # how likely a purchase is against the taste, for each difference from it
_RIGHT, _WRONG = 0.4, 0.2  # chances of true and false hearsay in a description, for each attribute


class _Tables:
    """The vocabulary as attributes, and arrays of the values that belong together.

    Attributes:
        attributes: The six attributes in their order.
        groups: Garment group of each type: int64 (types,).
        fabrics: Usual fabric of each type: int64 (types,).
        styles: Section, colour, pattern and fit of each style: int64 (styles, 4).
        sizes: Number of sections, colours, patterns and fits.
    """

    def __init__(self) -> None:
        lines = [[line.split("//") for line in table.strip().splitlines()] for table in GROUPS.values()]
        plain = {"section": SECTIONS, "colour": COLOURS, "pattern": PATTERNS, "fit": FITS, "fabric": FABRICS}
        self.attributes = (
            Attribute.of("type", [[Term.read(line[0]) for line in group] for group in lines]),
            *(Attribute.of(name, [read_terms(table)]) for name, table in plain.items()),
        )
        self.groups = np.repeat(np.arange(len(lines)), [len(group) for group in lines])
        fabrics = self.attributes[_FABRIC].phrases
        self.fabrics = np.array([fabrics.index(line[1].strip()) for group in lines for line in group])
        tastes = [attribute.phrases for attribute in self.attributes[_TASTES]]
        styles = [line.split("//") for line in STYLES.strip().splitlines()]
        self.styles = np.array(
            [[names.index(word.strip()) for names, word in zip(tastes, style, strict=True)] for style in styles]
        )
        self.sizes = [len(names) for names in tastes]


def make_shop(seed: int) -> Shop:
    """Make the clothes shop of a seed.

    Args:
        seed: From 0 to 2**63 - 1.

    Returns:
        The documents, and functions that draw needs and write queries.
    """
    tables, rng = _Tables(), random_stream(seed, "fashion documents")
    types = np.arange(len(tables.groups))
    styles = tables.styles[rng.integers(0, len(tables.styles), _DOCUMENTS)]
    sold = _follow(tables, styles, _SOLD, rng)
    values = _tailor(tables, rng.permutation(np.arange(_DOCUMENTS) % len(types)), sold, rng)
    titles, texts = zip(*(_write(tables, row, rng) for row in values), strict=True)

    def draw(n: int, rng: np.random.Generator) -> Needs:
        taste = _follow(tables, tables.styles[rng.integers(0, len(tables.styles), n)], _TASTE, rng)
        wanted = _tailor(tables, rng.integers(0, len(types), n), _follow(tables, taste, _WANTED, rng), rng)
        stated = np.zeros(wanted.shape, dtype=np.bool_)
        stated[:, _TYPE] = True
        for place, chance in _STATED.items():
            stated[:, place] = rng.random(n) < chance
        return Needs(wanted, stated)

    def tell(wanted: Ints, stated: Bools, rng: np.random.Generator) -> tuple[str, list[str]]:
        # Deviation is symmetric, so with all tastes equally common this draws the taste given the need.
        taste = _follow(tables, wanted[None, _TASTES], _WANTED, rng)
        liking = np.where(values[:, _TASTES] == taste, 1.0, _TOLERANCE).prod(axis=1)
        liking[values[:, _TYPE] == wanted[_TYPE]] = 0.0  # today's need is not bought yet
        n = int(rng.integers(_LEAST, _MOST + 1))
        purchases = rng.choice(_DOCUMENTS, size=n, replace=False, p=liking / liking.sum())
        return _ask(tables, wanted, stated, rng), [titles[row] for row in purchases]

    complements = (types + len(types) // 2) % len(types)  # of another garment group
    return Shop(tables.attributes, values, titles, texts, tables.groups, complements, (1, 8), draw, tell)


def _follow(tables: _Tables, model: Ints, faithful: float, rng: np.random.Generator) -> Ints:
    """Section, colour, pattern and fit: each the model's with the chance ``faithful``, otherwise any; int64 (n, 4)."""
    return np.where(rng.random(model.shape) < faithful, model, rng.integers(0, tables.sizes, model.shape))


def _tailor(tables: _Tables, types: Ints, tastes: Ints, rng: np.random.Generator) -> Ints:
    """Values of all attributes from types (n,) and tastes (n, 4), with a fabric; int64 (n, 6)."""
    any_fabric = rng.integers(0, len(tables.attributes[_FABRIC].terms), len(types))
    fabrics = np.where(rng.random(len(types)) < _HOME, tables.fabrics[types], any_fabric)
    return np.column_stack((types, tastes, fabrics))


def _write(tables: _Tables, row: Ints, rng: np.random.Generator) -> tuple[str, str]:
    """Title (name, colour, type, as in a history) and text of a document."""
    type_, section, colour, pattern, fit, fabric = (
        attribute.terms[value].phrase for attribute, value in zip(tables.attributes, row, strict=True)
    )
    title = f"{pick(LINES[section].split(), rng)} {fit} {pattern}, {colour}, {type_}"
    group = list(GROUPS)[tables.groups[row[_TYPE]]]
    details = (
        f"{type_} in {fabric}. {pick(('Cut', 'Shape'), rng)}: {fit}. Pattern: {pattern}. Colour: {colour}. "
        f"Section: {section}, {group}. {section} in {fabric}."
    )
    return title, f"{title}. {details}{hearsay(tables.attributes, row, _RIGHT, _WRONG, rng)}"


def _ask(tables: _Tables, row: Ints, stated: Bools, rng: np.random.Generator) -> str:
    """Query with the type and the stated attributes in everyday words."""
    words = {
        place: pick(attribute.terms[value].everyday, rng)
        for place, (attribute, value) in enumerate(zip(tables.attributes, row, strict=True))
        if stated[place]
    }
    blanks = {_FABRIC: "for {}", _PATTERN: "with {}"}
    tail = [blank.format(words[place]) for place, blank in blanks.items() if place in words]
    head = [words[place] for place in (_FIT, _TYPE) if place in words]
    return pick(("", "", "i need ", "looking for "), rng) + " ".join(
        [*head, *(tail[place] for place in rng.permutation(len(tail)))]
    )

"""A synthetic shop, the needs of its shoppers, and the gains of documents for them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs_data.sample.lexicon import Attribute, Bools, Ints

__all__ = ["COMPLEMENT", "EXACT", "SUBSTITUTE", "Needs", "Shop", "as_stated", "gains"]

EXACT, SUBSTITUTE, COMPLEMENT = 1.0, 0.1, 0.01


@dataclass(frozen=True)
class Needs:
    """Needs of shoppers, and the part that their queries state.

    Attributes:
        values: The latent intents, a value of each attribute, the type first: int64 (Q, A).
        stated: Whether the query states each attribute; always true of the type: bool (Q, A).
    """

    values: Ints
    stated: Bools


@dataclass(frozen=True)
class Shop:
    """A corpus whose documents have a value of each attribute, and its shoppers.

    Attributes:
        attributes: Attributes of the documents, the type first; A of them.
        values: Values of each document: int64 (D, A).
        titles: D titles.
        texts: D texts to index, the title included.
        groups: Department of each type: int64 (types,).
        complements: Type that is used with each type: int64 (types,).
        full_range: Smallest and largest number of documents of full gain that a need may have.
        draw: Draws n needs.
        tell: Writes the query of a need, (A,) and (A,), and its earlier purchases, oldest first.
    """

    attributes: tuple[Attribute, ...]
    values: Ints
    titles: Sequence[str]
    texts: Sequence[str]
    groups: Ints
    complements: Ints
    full_range: tuple[int, int]
    draw: Callable[[int, np.random.Generator], Needs]
    tell: Callable[[Ints, Bools, np.random.Generator], tuple[str, list[str]]]


def gains(shop: Shop, needs: Needs) -> NDArray[np.float64]:
    """Gain of each document for each need, on the scale of ESCI.

    - 1 (exact): the type and the stated attributes agree, and at most one unstated attribute differs;
    - 0.1 (substitute): the type agrees, and at most two attributes differ;
    - 0.01 (complement): the type is the one used with the needed type, and at most two attributes differ;
    - 0 otherwise.

    Args:
        shop: Corpus of D documents.
        needs: Q needs.

    Returns:
        float64 (Q, D).
    """
    different = np.zeros((len(needs.values), len(shop.values)), dtype=np.int8)
    for wanted, offered in zip(needs.values.T[1:], shop.values.T[1:], strict=True):
        different += wanted[:, None] != offered
    types = shop.values[:, 0]
    same_type = needs.values[:, :1] == types
    goes_with = shop.complements[needs.values[:, 0]][:, None] == types
    return np.select(
        [as_stated(shop, needs) & (different <= 1), same_type & (different <= 2), goes_with & (different <= 2)],
        [EXACT, SUBSTITUTE, COMPLEMENT],
        0.0,
    )


def as_stated(shop: Shop, needs: Needs) -> Bools:
    """Whether each document has the type and all attributes that each query states: bool (Q, D)."""
    fits = np.ones((len(needs.values), len(shop.values)), dtype=np.bool_)
    for wanted, stated, offered in zip(needs.values.T, needs.stated.T, shop.values.T, strict=True):
        fits &= (wanted[:, None] == offered) | ~stated[:, None]
    return fits

"""A synthetic shop, the needs of its shoppers, and which documents answer them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs_data.sample.lexicon import Attribute, Bools, Ints

__all__ = ["COMPLEMENT", "EXACT", "SUBSTITUTE", "Needs", "Shop", "as_stated", "gains"]

EXACT, SUBSTITUTE, COMPLEMENT = 1.0, 0.1, 0.01


@dataclass(frozen=True)
class Needs:
    """What shoppers want, and which of it they say.

    Attributes:
        values: The latent intents, a value of each attribute, the type first: int64 (Q, A).
        stated: Which attributes the query states; the type always is: bool (Q, A).
    """

    values: Ints
    stated: Bools


@dataclass(frozen=True)
class Shop:
    """A corpus whose documents have a value of each attribute, and the shoppers it gets.

    Attributes:
        attributes: What documents have values of, the type first; A of them.
        values: int64 (D, A).
        titles: D titles.
        texts: D texts to index, each with its title in it.
        groups: Department of each type: int64 (types,).
        complements: For each type the type that is used with it: int64 (types,).
        full_range: Least and most documents of full gain that a need may have.
        draw: Draws n needs.
        tell: What a shopper with the need (A,), (A,) says: the query, and the earlier purchases, oldest first.
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
    """How relevant each document is to each need, on the scale of ESCI.

    - 1 (exact): of the type, as the shopper stated it, and different from the intent in at most one unstated
      attribute;
    - 0.1 (substitute): of the type, and different in at most two attributes;
    - 0.01 (complement): of the type that is used with the wanted one, and different in at most two attributes;
    - 0 otherwise.

    Args:
        shop: The corpus, D documents.
        needs: Q intents.

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
    """Which documents have the type and all attributes that each query states: bool (Q, D)."""
    fits = np.ones((len(needs.values), len(shop.values)), dtype=np.bool_)
    for wanted, stated, offered in zip(needs.values.T, needs.stated.T, shop.values.T, strict=True):
        fits &= (wanted[:, None] == offered) | ~stated[:, None]
    return fits

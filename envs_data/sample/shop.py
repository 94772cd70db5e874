"""From a shop to the tables of a prepared data set: needs, relevance, judgements, pools, demonstrations."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import os

import numpy as np
import polars as pl
from numpy.typing import NDArray

from envs_data.errors import DataError
from envs_data.pools import build_pools, shared_values
from envs_data.sample.demonstrations import write_demonstrations
from envs_data.sample.lexicon import Attribute
from envs_data.splits import random_stream, split_labels

__all__ = ["Ints", "Needs", "Shop", "gains", "shop_tables"]

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

SPLIT_SIZES = {"train": 1_200, "validation": 150, "test": 300}
POOL_SIZE = 100
FULL, NEAR, COMPLEMENT = 1.0, 0.1, 0.01

_CAPS = eval(os.environ.get("CAPS","{NEAR: 12, COMPLEMENT: 4, 0.0: 10}"))  # judgements kept for a query; those of full gain are all kept
_BATCH = 512


@dataclass(frozen=True)
class Needs:
    """What shoppers want and say.

    Attributes:
        values: The latent intents, a value of each attribute, the type first: int64 (Q, A).
        stated: Which attributes the query states; the type always is: bool (Q, A).
        queries: What the shopper types, Q texts.
        histories: Earlier purchases, oldest first; Q lists, possibly empty.
    """

    values: Ints
    stated: Bools
    queries: list[str]
    histories: list[list[str]]


@dataclass(frozen=True)
class Shop:
    """A corpus whose documents have a value of each attribute, and the shoppers it gets.

    Attributes:
        attributes: What documents have values of, the type first.
        values: int64 (D, A).
        titles: D titles.
        texts: D texts to index, each with its title in it.
        groups: Department of each type: int64 (types,).
        complements: For each type the type that is used with it: int64 (types,).
        full_range: Least and most documents of full gain that a need may have.
        needs: Draws n needs.
    """

    attributes: tuple[Attribute, ...]
    values: Ints
    titles: Sequence[str]
    texts: Sequence[str]
    groups: Ints
    complements: Ints
    full_range: tuple[int, int]
    needs: Callable[[int, np.random.Generator], Needs]


def gains(shop: Shop, needs: Needs) -> NDArray[np.float64]:
    """How relevant each document is to each need, on the scale of ESCI.

    - 1 (exact): the type, every stated attribute, and at most one of the unstated ones is different;
    - 0.1 (substitute): the type, and two attributes or fewer are different;
    - 0.01 (complement): the type that is used with the wanted one, and two attributes or fewer are different;
    - 0 otherwise.

    Args:
        shop: The corpus, D documents.
        needs: Q intents.

    Returns:
        float64 (Q, D).
    """
    wanted, offered = needs.values[:, None, :], shop.values[None, :, :]
    differs = wanted != offered
    same_type = ~differs[:, :, 0]
    different = differs[:, :, 1:].sum(axis=2)
    breaks_word = (differs & needs.stated[:, None, :]).any(axis=2)
    goes_with = shop.complements[needs.values[:, 0]][:, None] == shop.values[None, :, 0]
    return np.select(
        [same_type & ~breaks_word & (different <= 1), same_type & (different <= 2), goes_with & (different <= 2)],
        [FULL, NEAR, COMPLEMENT],
        0.0,
    )


def shop_tables(shop: Shop, seed: int, prefix: str) -> tuple[dict[str, pl.DataFrame], dict[str, int]]:
    """The tables of a prepared data set, and counts for its manifest.

    Args:
        shop: The corpus.
        seed: At least 0; its streams are independent of the one that made the shop.
        prefix: First letters of the query and document ids.

    Returns:
        The five tables by name, and what was kept and filled up.
    """
    labels, needs = _accepted_needs(shop, random_stream(seed, "sample needs"))
    n = len(labels)
    judged = _judge(shop, needs, random_stream(seed, "sample judgements"))
    query_ids = pl.Series("query_id", [f"{prefix}-q{number:05d}" for number in range(n)])
    full = judged.filter(pl.col("gain") == FULL)
    targets = full["query"].to_numpy(), full["doc_row"].to_numpy()
    rows, types = np.arange(len(shop.values)), shop.values[:, 0]
    pools, counts = build_pools(
        query_ids,
        len(rows),
        judged["query"].to_numpy(),
        judged["doc_row"].to_numpy(),
        hard=shared_values(rows, types, *targets),
        related=shared_values(rows, shop.groups[types], *targets),
        pool_size=POOL_SIZE,
        rng=random_stream(seed, "sample pools"),
    )
    phrases = [
        [attribute.terms[value].phrase for attribute, value in zip(shop.attributes, row, strict=True)]
        for row in needs.values
    ]
    demonstrations = write_demonstrations(
        shop.attributes, needs.values[labels == "train"], random_stream(seed, "sample demonstrations")
    )
    training_ids = query_ids.filter(pl.Series(labels == "train"))
    tables = {
        "documents": pl.DataFrame(
            {
                "doc_id": [f"{prefix}-d{row:05d}" for row in range(len(rows))],
                "title": shop.titles,
                "text": shop.texts,
            }
        ),
        "queries": pl.DataFrame(
            {
                "query_id": query_ids,
                "split": labels.tolist(),
                "query": needs.queries,
                "history": needs.histories,
                "intent": phrases,
            },
            schema_overrides={"history": pl.List(pl.String)},
        ),
        "pools": pools,
        "qrels": judged.select(query_ids.gather(judged["query"]).alias("query_id"), "doc_row", "gain"),
        "demonstrations": pl.DataFrame(
            {
                "query_id": [training_ids[number] for number, _ in demonstrations],
                "text": [text for _, text in demonstrations],
            }
        ),
    }
    counts |= {name: tables[name].height for name in ("documents", "queries", "qrels", "demonstrations")}
    return tables, counts


def _accepted_needs(shop: Shop, rng: np.random.Generator) -> tuple[NDArray[np.str_], Needs]:
    """Needs with a right number of full-gain documents, and the split of each, training first.

    What a query states (type and attributes) belongs to one split: a need that states the same as one of another
    split is drawn again, and so is one with the very prompt of another.
    """
    least, most = shop.full_range
    sizes = dict(SPLIT_SIZES)
    total = sum(sizes.values())
    labels = split_labels(total, {name: size / total for name, size in sizes.items()}, rng)
    owner: dict[tuple[int, ...], str] = {}
    prompts: set[tuple[str, ...]] = set()
    kept: list[Needs] = []
    while len(kept) < total:
        drawn = shop.needs(_BATCH, rng)
        n_full = (gains(shop, drawn) == FULL).sum(axis=1)
        for i in np.flatnonzero((n_full >= least) & (n_full <= most)):
            if len(kept) == total:
                break
            said = tuple(np.where(drawn.stated[i], drawn.values[i], -1).tolist())
            prompt = (drawn.queries[i], *drawn.histories[i])
            if prompt in prompts or (
                not drawn.histories[i] and owner.get(said, labels[len(kept)]) != labels[len(kept)]
            ):
                continue
            prompts.add(prompt)
            owner[said] = labels[len(kept)]
            kept.append(
                Needs(drawn.values[i : i + 1], drawn.stated[i : i + 1], [drawn.queries[i]], [drawn.histories[i]])
            )
    order = np.argsort([list(sizes).index(label) for label in labels], kind="stable")
    return labels[order], Needs(
        np.concatenate([kept[i].values for i in order]),
        np.concatenate([kept[i].stated for i in order]),
        [kept[i].queries[0] for i in order],
        [kept[i].histories[0] for i in order],
    )


def _judge(shop: Shop, needs: Needs, rng: np.random.Generator) -> pl.DataFrame:
    """Judgements kept: ``query``, ``doc_row``, ``gain``, ascending by query and row."""
    found = []
    for start in range(0, len(needs.queries), _BATCH):
        stop = start + _BATCH
        block = Needs(needs.values[start:stop], needs.stated[start:stop], [], [])
        gain = gains(shop, block)
        looks_right = ~((block.values[:, None, :] != shop.values[None, :, :]) & block.stated[:, None, :]).any(axis=2)
        chance = rng.random(gain.shape)
        for value, cap in {FULL: shop.full_range[1], **_CAPS}.items():
            fits = (gain == value) & (looks_right | (value > 0))
            rank = np.argsort(np.argsort(np.where(fits, chance, 2.0), axis=1), axis=1)
            queries, rows = np.nonzero(fits & (rank < cap))
            found.append(pl.DataFrame({"query": queries + start, "doc_row": rows, "gain": np.full(len(rows), value)}))
    return pl.concat(found).sort("query", "doc_row")

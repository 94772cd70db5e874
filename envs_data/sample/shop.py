"""From a shop to the tables of a prepared data set: needs, relevance, judgements, pools, demonstrations."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import os
import zlib

import numpy as np
import polars as pl
from numpy.typing import NDArray

from envs_data.errors import DataError
from envs_data.pools import build_pools, shared_values
from envs_data.sample.demonstrations import write_demonstrations
from envs_data.sample.lexicon import Attribute
from envs_data.splits import random_stream

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
    """What shoppers want, and which of it they say.

    Attributes:
        values: The latent intents, a value of each attribute, the type first: int64 (Q, A).
        stated: Which attributes the query states; the type always is: bool (Q, A).
    """

    values: Ints
    stated: Bools

    def __getitem__(self, rows: slice | Ints) -> "Needs":
        """Some of the needs."""
        return Needs(self.values[rows], self.stated[rows])


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
        tell: What a shopper with the needs (A,), (A,) says: the query, and the earlier purchases, oldest first.
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
    needs, shoppers = _shoppers(shop, seed)
    n, training = shoppers.height, shoppers["split"] == "train"
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
        shop.attributes, needs.values[training.to_numpy()], random_stream(seed, "sample demonstrations")
    )
    tables = {
        "documents": pl.DataFrame(
            {
                "doc_id": [f"{prefix}-d{row:05d}" for row in range(len(rows))],
                "title": shop.titles,
                "text": shop.texts,
            }
        ),
        "queries": shoppers.select(query_ids, pl.all(), pl.Series("intent", phrases)),
        "pools": pools,
        "qrels": judged.select(query_ids.gather(judged["query"]).alias("query_id"), "doc_row", "gain"),
        "demonstrations": pl.DataFrame(
            {
                "query_id": query_ids.filter(training).gather([number for number, _ in demonstrations]),
                "text": [text for _, text in demonstrations],
            }
        ),
    }
    counts |= {name: tables[name].height for name in ("documents", "queries", "qrels", "demonstrations")}
    return tables, counts


def _shoppers(shop: Shop, seed: int) -> tuple[Needs, pl.DataFrame]:
    """Needs with a right number of full-gain documents, and ``split``, ``query``, ``history`` of each.

    What a shopper says (type, stated attributes and history, in whatever words) belongs to one split, by a hash: no
    validation or test query says what a training query says. No two queries have the same words and history.
    """
    rng, (least, most) = random_stream(seed, "sample needs"), shop.full_range
    bounds = np.cumsum(list(SPLIT_SIZES.values())) / sum(SPLIT_SIZES.values())
    missing = list(SPLIT_SIZES.values())
    rows: list[dict[str, object]] = []
    prompts: set[tuple[str, ...]] = set()
    values, stated = [], []
    while any(missing):
        drawn = shop.draw(_BATCH, rng)
        n_full = (gains(shop, drawn) == FULL).sum(axis=1)
        for i in np.flatnonzero((n_full >= least) & (n_full <= most)):
            query, history = shop.tell(drawn.values[i], drawn.stated[i], rng)
            said = np.where(drawn.stated[i], drawn.values[i], -1).tolist()
            owner = int(np.searchsorted(bounds, zlib.crc32(repr((seed, said, history)).encode()) / 2**32, side="right"))
            if not missing[owner] or (query, *history) in prompts:
                continue
            missing[owner] -= 1
            prompts.add((query, *history))
            rows.append({"split": owner, "query": query, "history": history})
            values.append(drawn.values[i])
            stated.append(drawn.stated[i])
    order = np.argsort([row["split"] for row in rows], kind="stable")
    table = pl.DataFrame([rows[i] for i in order], schema={"split": pl.Int64, "query": pl.String, "history": pl.List(pl.String)})
    names = pl.Series(list(SPLIT_SIZES))
    return Needs(np.array(values), np.array(stated))[order], table.with_columns(names.gather(table["split"]).alias("split"))


def _judge(shop: Shop, needs: Needs, rng: np.random.Generator) -> pl.DataFrame:
    """Judgements kept: ``query``, ``doc_row``, ``gain``, ascending by query and row."""
    found = []
    for start in range(0, len(needs.values), _BATCH):
        block = needs[start : start + _BATCH]
        gain = gains(shop, block)
        looks_right = ~((block.values[:, None, :] != shop.values[None, :, :]) & block.stated[:, None, :]).any(axis=2)
        chance = rng.random(gain.shape)
        for value, cap in {FULL: shop.full_range[1], **_CAPS}.items():
            fits = (gain == value) & (looks_right | (value > 0))
            rank = np.argsort(np.argsort(np.where(fits, chance, 2.0), axis=1), axis=1)
            queries, rows = np.nonzero(fits & (rank < cap))
            found.append(pl.DataFrame({"query": queries + start, "doc_row": rows, "gain": np.full(len(rows), value)}))
    return pl.concat(found).sort("query", "doc_row")

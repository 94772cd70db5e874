"""Tables of a prepared data set, made from a shop: shoppers, judgements, pools, demonstrations."""

import zlib

import numpy as np
import polars as pl

from envs_data.assembly.buckets import shared_values
from envs_data.assembly.pools import build_pools
from envs_data.layout import SPLITS
from envs_data.sample.demonstrations import write_demonstrations
from envs_data.sample.shop import COMPLEMENT, EXACT, SUBSTITUTE, Needs, Shop, as_stated, gains
from envs_data.splits import random_stream

__all__ = ["POOL_SIZE", "SPLIT_SIZES", "shop_tables"]

SPLIT_SIZES = {"train": 1_200, "validation": 150, "test": 300}
POOL_SIZE = 100
_CAPS = {
    SUBSTITUTE: 12,
    COMPLEMENT: 4,
    0.0: 10,
}  # largest number of judgements of a query for each gain; those of full gain are all kept
_BATCH = 512


def shop_tables(shop: Shop, seed: int, prefix: str) -> tuple[dict[str, pl.DataFrame], dict[str, int]]:
    """Make the tables of a prepared data set, and counts for its manifest.

    Args:
        shop: The corpus.
        seed: Seed, at least 0; its streams are independent of those that made the shop.
        prefix: First letters of the query and document ids.

    Returns:
        The five tables by name, and numbers of rows kept and filled up.
    """
    needs, shoppers = _shoppers(shop, seed)
    query_ids = pl.Series("query_id", [f"{prefix}-q{number:05d}" for number in range(shoppers.height)])
    qrels = _judge(shop, needs, random_stream(seed, "sample judgements"))
    judged = qrels["query"].to_numpy(), qrels["doc_row"].to_numpy()
    targets = qrels.filter(pl.col("gain") == EXACT)
    target_pairs = targets["query"].to_numpy(), targets["doc_row"].to_numpy()
    rows, types = np.arange(len(shop.values)), shop.values[:, 0]
    pools, counts = build_pools(
        query_ids,
        len(rows),
        *judged,
        hard=shared_values(rows, types, *target_pairs),
        related=shared_values(rows, shop.groups[types], *target_pairs),
        pool_size=POOL_SIZE,
        rng=random_stream(seed, "sample pools"),
    )
    training = shoppers["split"] == "train"
    rewrites = write_demonstrations(
        shop.attributes, needs.values[training.to_numpy()], random_stream(seed, "sample demonstrations")
    )
    phrases = [attribute.phrases for attribute in shop.attributes]
    intents = [[names[value] for names, value in zip(phrases, row, strict=True)] for row in needs.values]
    tables = {
        "documents": pl.DataFrame(
            {"doc_id": [f"{prefix}-d{row:05d}" for row in rows], "title": shop.titles, "text": shop.texts}
        ),
        "queries": shoppers.select(query_ids, pl.all(), pl.Series("intent", intents)),
        "pools": pools,
        "qrels": qrels.select(query_ids.gather(qrels["query"]), "doc_row", "gain"),
        "demonstrations": pl.DataFrame(
            {
                "query_id": query_ids.filter(training).gather([number for number, _ in rewrites]),
                "text": [text for _, text in rewrites],
            }
        ),
    }
    return tables, counts | {name: table.height for name, table in tables.items() if name != "pools"}


def _shoppers(shop: Shop, seed: int) -> tuple[Needs, pl.DataFrame]:
    """Draw needs with an allowed number of full-gain documents; ``split``, ``query`` and ``history`` of each.

    A hash of the type, the stated attributes and the history decides the split, so that no validation or test query
    means the same as a training query. No prompt comes twice.
    """
    rng, (least, most) = random_stream(seed, "sample needs"), shop.full_range
    missing = [SPLIT_SIZES[name] for name in SPLITS]
    bounds = np.cumsum(missing) / sum(missing)
    pairs: list[tuple[int, Needs]] = []
    prompts: dict[tuple[str, ...], tuple[str, list[str]]] = {}
    while any(missing):
        needs = shop.draw(_BATCH, rng)
        n_full = (gains(shop, needs) == EXACT).sum(axis=1)
        for i in np.flatnonzero((n_full >= least) & (n_full <= most)):
            values, stated = needs.values[i], needs.stated[i]
            query, history = shop.tell(values, stated, rng)
            key = repr((seed, np.where(stated, values, -1).tolist(), history)).encode()
            owner = int(np.searchsorted(bounds, zlib.crc32(key) / 2**32, side="right"))
            if missing[owner] and (query, *history) not in prompts:
                missing[owner] -= 1
                prompts[(query, *history)] = query, history
                pairs.append((owner, Needs(values, stated)))
    order = sorted(range(len(pairs)), key=lambda place: pairs[place][0])
    texts = list(prompts.values())
    table = pl.DataFrame(
        {
            "split": [SPLITS[pairs[place][0]] for place in order],
            "query": [texts[place][0] for place in order],
            "history": pl.Series([texts[place][1] for place in order], dtype=pl.List(pl.String)),
        }
    )
    chosen = [pairs[place][1] for place in order]
    return Needs(np.array([need.values for need in chosen]), np.array([need.stated for need in chosen])), table


def _judge(shop: Shop, needs: Needs, rng: np.random.Generator) -> pl.DataFrame:
    """Draw judgements: ``query``, ``doc_row``, ``gain``, ascending by query and row.

    All documents of full gain are judged, and a random few of each other gain. Documents judged irrelevant fit the
    query and not the intent.
    """
    blocks = []
    for start in range(0, len(needs.values), _BATCH):
        block = Needs(needs.values[start : start + _BATCH], needs.stated[start : start + _BATCH])
        gain = gains(shop, block)
        queries, rows = np.nonzero((gain > 0) | as_stated(shop, block))
        blocks.append(pl.DataFrame({"query": queries + start, "doc_row": rows, "gain": gain[queries, rows]}))
    judged = pl.concat(blocks)
    judged = judged.with_columns(lot=pl.Series(rng.permutation(judged.height)))
    cap = pl.col("gain").replace_strict({EXACT: shop.full_range[1], **_CAPS})
    sampled = judged.filter(pl.col("lot").rank("ordinal").over("query", "gain") <= cap)
    return sampled.select("query", "doc_row", "gain").sort("query", "doc_row")

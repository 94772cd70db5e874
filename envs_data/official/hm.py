"""Preparation of H&M Personalized Fashion Recommendations from its official files.

Source: the Kaggle competition of that name (2022), files ``articles.csv``, ``transactions_train.csv`` and, if present,
``customers.csv`` (only its digest is recorded); each plain or gzipped.

- **Documents** are all articles: name, product type, colour, appearance, garment group, index group, section,
  department and description.
- **Queries**: one for each customer with purchases on two dates or more. The target is drawn from the articles of the
  customer's last date that they never bought before; the query is its product type in lower case. The history is up
  to 10 different articles of strictly earlier dates, the latest ones, oldest first.
- **Judgements**, all of gain 1: every article of that date that has the query's product type and was never bought
  before, the target included. So no article of the history is judged.
- **Splits** by customer, 8 : 1 : 1, drawn by seed.
- **Negatives**: *hard* has the same product type as a judged document, *related* the same garment group.
- An attribute with the value "Unknown" counts as missing: no target, no bucket of negatives and no text uses it.
- **Demonstrations**: attributes of the target, some dropped, some replaced by those of another article. The kinds
  ``expansions`` and ``associations`` are words to add to the query that can be predicted from it
  (:mod:`envs_data.assembly.expansions`).
"""

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from envs_data.assembly.buckets import SharedValues, shared_values
from envs_data.assembly.demonstrations import (
    ADDED_KINDS,
    check_kind,
    join_phrases,
    keep_some,
    recorded_kind,
    swap_some,
    word_runs,
)
from envs_data.assembly.expansions import expansions
from envs_data.assembly.pools import build_pools, check_pool_size
from envs_data.assembly.words import count_long, words
from envs_data.errors import DataError
from envs_data.files import is_synthetic
from envs_data.official.hm_files import ARTICLES, CUSTOMERS, TRANSACTIONS, Purchases, read_documents, read_purchases
from envs_data.official.sources import source_file, source_hashes
from envs_data.prepared import PreparedData
from envs_data.splits import check_whole_number, random_stream, shuffle_within_splits, split_labels
from envs_data.writing import check_replaceable, write_prepared

__all__ = ["prepare_hm"]

HISTORY_LENGTH = 10
DEMONSTRATIONS_PER_QUERY = 2
MAX_QUERIES = 100_000
_SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}

Ints = NDArray[np.int64]


def prepare_hm(
    source: Path,
    out: Path,
    *,
    pool_size: int = 100,
    seed: int = 0,
    max_queries: int | None = MAX_QUERIES,
    demonstrations: str = "phrases",
) -> PreparedData:
    """Make a prepared directory of H&M.

    The same files, arguments and seed give the same bytes.

    Args:
        source: Directory of the official files.
        out: Directory to write; an earlier prepared directory there is replaced.
        pool_size: Number of documents in a query's pool, from 2 to 10,000; more judged documents are all kept.
        seed: Seed of document order, targets, splits, negatives and demonstrations, from 0 to 2**63 - 1.
        max_queries: Largest number of customers, drawn at random (the official files have about 1.2 million with
            purchases on two dates); ``None`` for all.
        demonstrations: Kind of the demonstrations: ``"phrases"``, ``"expansions"`` or ``"associations"``.

    Returns:
        The data set as written.

    Raises:
        DataError: A file or column is missing or wrong, an argument is out of range, or nothing is left.
    """
    check_replaceable(Path(out), Path(source))
    check_pool_size(pool_size)
    check_kind(demonstrations)
    if max_queries is not None:
        check_whole_number("max queries", max_queries, 1, 2**31)
    document_order = random_stream(seed, "documents")
    source = Path(source)
    paths = [source_file(source, *ARTICLES), source_file(source, *TRANSACTIONS)]
    paths += [source / name for name in CUSTOMERS if (source / name).is_file()][:1]
    documents = read_documents(paths[0])
    documents = documents[document_order.permutation(documents.height)]
    purchases = read_purchases(paths[1], documents, max_queries, random_stream(seed, "customers"))
    judgements = _judge(purchases, documents, random_stream(seed, "targets"))
    if judgements.is_empty():
        raise DataError(
            f"{paths[1]}: expected customers whose last date has an article new to them, but there are none"
        )
    queries = _ordered_queries(purchases, judgements, documents, random_stream(seed, "splits"))
    judgements = judgements.join(queries.select("customer", "number", "query_id"), on="customer")
    judgements = judgements.sort("number", "doc_row")
    judged = judgements["number"].to_numpy(), judgements["doc_row"].to_numpy()
    pools, pool_counts = build_pools(
        queries["query_id"],
        documents.height,
        *judged,
        hard=_same(documents["type"], *judged),
        related=_same(documents["garment"], *judged),
        pool_size=pool_size,
        rng=random_stream(seed, "pools"),
    )
    rng = random_stream(seed, "demonstrations")
    if demonstrations in ADDED_KINDS:
        gained = judgements.with_columns(gain=pl.lit(1.0))
        examples, example_counts = expansions(documents, queries, gained, demonstrations, rng)
    else:
        examples, example_counts = _demonstrate(queries, judgements, documents, rng), {}
    return write_prepared(
        Path(out),
        {
            "documents": documents,
            "queries": queries.with_columns(intent=pl.lit([], dtype=pl.List(pl.String))),
            "pools": pools,
            "qrels": judgements.with_columns(gain=pl.lit(1.0)),
            "demonstrations": examples,
        },
        dataset="hm",
        synthetic=is_synthetic(source),
        arguments={
            "pool_size": pool_size,
            "seed": seed,
            "max_queries": max_queries,
            **recorded_kind(demonstrations),
        },
        sources=source_hashes(paths),
        counts={
            "documents": documents.height,
            "judgements": judgements.height,
            **purchases.counts,
            "customers_without_new_need": purchases.customers.height - queries.height,
            **pool_counts,
            **count_long(queries["query"]),
            "demonstrations": examples.height,
            **example_counts,
        },
    )


def _judge(purchases: Purchases, documents: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Draw each customer's target and judge all of its product type: ``customer``, ``doc_row``, ``is_target``."""
    first_date = pl.col("date").min().over("customer", "doc_row")
    novel = purchases.table.join(purchases.customers, on="customer").filter(first_date == pl.col("last"))
    novel = novel.with_columns(type=documents["type"].gather(novel["doc_row"])).filter(pl.col("type").is_not_null())
    novel = novel.sort("customer", "doc_row")
    novel = novel.with_columns(lot=pl.Series(rng.permutation(novel.height)))
    novel = novel.with_columns(is_target=pl.col("lot") == pl.col("lot").max().over("customer"))
    target_type = pl.col("type").filter(pl.col("is_target")).first().over("customer")
    return novel.filter(pl.col("type") == target_type).select("customer", "doc_row", "is_target")


def _ordered_queries(
    purchases: Purchases, judgements: pl.DataFrame, documents: pl.DataFrame, rng: np.random.Generator
) -> pl.DataFrame:
    """Queries in their final order: ``number``, ``customer``, ``query_id``, ``query``, ``split``, ``history``."""
    targets = judgements.filter("is_target").sort("customer")
    need = documents["type"].gather(targets["doc_row"]).str.to_lowercase().str.replace_all("/", " ", literal=True)
    labels = split_labels(targets.height, _SHARES, rng)
    queries = (
        targets.select("customer", query=need, split=pl.Series(labels.tolist(), dtype=pl.String))
        .join(purchases.customers.select("customer", query_id="customer_id"), on="customer")
        .join(_histories(purchases, documents), on="customer")
        .sort("customer")
    )
    ordered = queries[shuffle_within_splits(labels, rng)]
    return ordered.select(pl.int_range(pl.len(), dtype=pl.Int64).alias("number"), pl.all())


def _histories(purchases: Purchases, documents: pl.DataFrame) -> pl.DataFrame:
    """Each customer's latest earlier purchases, no article twice, oldest first: ``customer``, ``history``."""
    earlier = purchases.table.join(purchases.customers, on="customer").filter(pl.col("date") < pl.col("last"))
    latest = earlier.group_by("customer", "doc_row").agg(pl.col("date").max()).sort("customer", "date", "doc_row")
    recent = latest.group_by("customer", maintain_order=True).tail(HISTORY_LENGTH)
    phrase = pl.concat_str("name", "colour", "type", separator=", ", ignore_nulls=True).str.to_lowercase()
    phrases = recent.with_columns(history=documents.select(phrase).to_series().gather(recent["doc_row"]))
    return phrases.group_by("customer", maintain_order=True).agg("history")


def _same(attribute: pl.Series, judged_queries: Ints, judged_rows: Ints) -> SharedValues:
    code = pl.col("value").rank("dense").cast(pl.Int64) - 1
    coded = pl.DataFrame({"row": np.arange(len(attribute)), "value": attribute}).select("row", code).drop_nulls()
    return shared_values(coded["row"].to_numpy(), coded["value"].to_numpy(), judged_queries, judged_rows)


def _demonstrate(
    queries: pl.DataFrame, judgements: pl.DataFrame, documents: pl.DataFrame, rng: np.random.Generator
) -> pl.DataFrame:
    """Two rewrites for each training query, from its target's attributes: the query first, the rest in random order."""
    training = queries.filter(pl.col("split") == "train")
    targets = judgements.filter("is_target").join(training.select("number"), on="number", how="semi").sort("number")
    repeated = targets[np.repeat(np.arange(targets.height), DEMONSTRATIONS_PER_QUERY)]
    lowered = documents.with_columns(pl.col(pl.String).exclude("doc_id", "text").str.to_lowercase())
    articles = lowered[repeated["doc_row"]]
    shares = {"colour": 0.8, "appearance": 0.6, "section": 0.4, "garment": 0.4, "index": 0.4, "name": 0.4}
    phrases = [
        keep_some(swap_some(articles[name], 0.2, lowered[name], rng), share, rng) for name, share in shares.items()
    ]
    detail = articles.select(words(pl.col("detail"))).to_series()
    phrases.append(keep_some(word_runs(detail, 1, 3, rng), 0.5, rng))
    need = queries["query"].gather(repeated["number"])
    return join_phrases(repeated["query_id"], need, phrases, rng)

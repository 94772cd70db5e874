"""Preparation of the Amazon Shopping Queries Dataset (ESCI) from its official files.

Source: Reddy et al. 2022, "Shopping Queries Dataset: A Large-Scale ESCI Benchmark for Improving Product Search",
arXiv 2206.06588, files ``shopping_queries_dataset_examples.parquet`` and ``..._products.parquet``.

- **Documents** are all products of the locale: title, brand, colour, bullet points and description.
- **Gains** are the official ones: Exact 1, Substitute 0.1, Complement 0.01, Irrelevant 0. A query without an Exact
  product in the corpus is left out.
- **Splits**: test queries are the official ones; validation queries are a tenth of the official training queries,
  drawn by seed.
- **Negatives**: *hard* shares a rare title word with an Exact product (a word is rare in 2 to max(50, D / 1000) of the
  D titles; the rarest words first), *related* shares its brand.
- **Demonstrations**: a run of the query's words, then phrases from the title, the text, the brand and the colour of an
  Exact product, some dropped, and at times one of another product's title. The kinds ``expansions`` and
  ``associations`` are words to add to the query that can be predicted from it (:mod:`envs_data.assembly.expansions`).
"""

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from envs_data.assembly.buckets import SharedValues, shared_values
from envs_data.assembly.demonstrations import (
    ADDED_KINDS,
    check_kind,
    draw_targets,
    join_phrases,
    keep_some,
    recorded_kind,
    word_runs,
)
from envs_data.assembly.expansions import expansions
from envs_data.assembly.pools import build_pools, check_pool_size
from envs_data.assembly.shared_words import share_rare_word
from envs_data.assembly.words import count_long, words
from envs_data.errors import DataError
from envs_data.files import is_synthetic
from envs_data.official.esci_files import EXAMPLES, PRODUCTS, read_documents, read_examples
from envs_data.official.sources import source_file, source_hashes
from envs_data.prepared import PreparedData
from envs_data.splits import random_stream, shuffle_within_splits, split_labels
from envs_data.writing import check_replaceable, write_prepared

__all__ = ["prepare_esci"]

DEMONSTRATIONS_PER_QUERY = 2
QUOTED_CHARACTERS = 1_000  # of a document's text that demonstrations may quote

Ints = NDArray[np.int64]


def prepare_esci(
    source: Path,
    out: Path,
    *,
    locale: str = "us",
    version: str = "small",
    pool_size: int = 100,
    seed: int = 0,
    demonstrations: str = "phrases",
) -> PreparedData:
    """Make a prepared directory of one locale of ESCI.

    The same files, arguments and seed give the same bytes.

    Args:
        source: Directory of the two official files.
        out: Directory to write; an earlier prepared directory there is replaced.
        locale: ``"us"``, ``"es"`` or ``"jp"``.
        version: ``"small"`` (the harder queries, the official ranking task) or ``"large"`` (all).
        pool_size: Number of documents in a query's pool, from 2 to 10,000; more judged documents are all kept.
        seed: Seed of document order, splits, negatives and demonstrations, from 0 to 2**63 - 1.
        demonstrations: Kind of the demonstrations: ``"phrases"``, ``"expansions"`` or ``"associations"``.

    Returns:
        The data set as written.

    Raises:
        DataError: A file or column is missing or wrong, an argument is unknown or out of range, or nothing is left.
    """
    check_replaceable(Path(out), Path(source))
    check_pool_size(pool_size)
    check_kind(demonstrations)
    document_order = random_stream(seed, "documents")
    paths = source_file(Path(source), EXAMPLES), source_file(Path(source), PRODUCTS)
    examples = read_examples(paths[0], locale, version)
    documents = read_documents(paths[1], locale)
    documents = documents[document_order.permutation(documents.height)]
    judgements, left_out = _usable_judgements(examples, documents)
    if judgements.is_empty():
        raise DataError(f"{paths[0]}: expected queries with an Exact product in {PRODUCTS}, but there are none")
    queries = _ordered_queries(judgements, random_stream(seed, "splits"))
    judgements = judgements.join(queries.select("query_id", "number"), on="query_id").sort("number", "doc_row")
    full = judgements.filter(pl.col("gain") == 1.0)
    targets = full["number"].to_numpy(), full["doc_row"].to_numpy()
    pools, pool_counts = build_pools(
        queries["query_id"],
        documents.height,
        judgements["number"].to_numpy(),
        judgements["doc_row"].to_numpy(),
        hard=share_rare_word(documents["title"], *targets),
        related=_same_brand(documents, *targets),
        pool_size=pool_size,
        rng=random_stream(seed, "pools"),
    )
    rng = random_stream(seed, "demonstrations")
    if demonstrations in ADDED_KINDS:
        examples, example_counts = expansions(documents, queries, judgements, demonstrations, rng)
    else:
        examples, example_counts = _demonstrate(queries, full, documents, rng), {}
    none = pl.lit([], dtype=pl.List(pl.String))
    return write_prepared(
        Path(out),
        {
            "documents": documents,
            "queries": queries.with_columns(history=none, intent=none),
            "pools": pools,
            "qrels": judgements,
            "demonstrations": examples,
        },
        dataset="esci",
        synthetic=is_synthetic(Path(source)),
        arguments={
            "locale": locale,
            "version": version,
            "pool_size": pool_size,
            "seed": seed,
            **recorded_kind(demonstrations),
        },
        sources=source_hashes(paths),
        counts={
            "documents": documents.height,
            "judgements": judgements.height,
            **left_out,
            **pool_counts,
            **count_long(queries["query"]),
            "demonstrations": examples.height,
            **example_counts,
        },
    )


def _usable_judgements(examples: pl.DataFrame, documents: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, int]]:
    """Judgements of documents of the corpus, for queries with a text and an Exact one; numbers of rows left out."""
    rows = documents.select("doc_id", doc_row=pl.int_range(pl.len(), dtype=pl.Int64))
    once = examples.unique(["query_id", "product_id"], keep="first", maintain_order=True)
    in_corpus = once.join(rows, left_on="product_id", right_on="doc_id")
    with_text = in_corpus.filter(pl.col("query") != "")
    usable = with_text.filter((pl.col("gain") == 1.0).any().over("query_id"))
    n_blank = examples.filter(pl.col("query") == "")["query_id"].n_unique()
    return usable, {
        "judgements_repeated": examples.height - once.height,
        "judgements_without_document": once.height - in_corpus.height,
        "judgements_of_queries_left_out": in_corpus.height - usable.height,
        "queries_blank": n_blank,
        "queries_without_exact": examples["query_id"].n_unique() - n_blank - usable["query_id"].n_unique(),
    }


def _ordered_queries(judgements: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Queries in their final order: ``number``, ``query_id``, ``query``, ``split``."""
    queries = judgements.unique("query_id").sort("query_id")
    is_test = queries["is_test"].to_numpy()
    labels = np.full(queries.height, "test", dtype="<U10")
    labels[~is_test] = split_labels(int((~is_test).sum()), {"train": 0.9, "validation": 0.1}, rng)
    order = shuffle_within_splits(labels, rng)
    ordered = queries.with_columns(split=pl.Series(labels.tolist(), dtype=pl.String))[order]
    return ordered.select(pl.int_range(pl.len(), dtype=pl.Int64).alias("number"), "query_id", "query", "split")


def _same_brand(documents: pl.DataFrame, target_queries: Ints, target_rows: Ints) -> SharedValues:
    brand = pl.col("brand").str.to_lowercase().rank("dense").cast(pl.Int64) - 1
    coded = documents.select(row=pl.int_range(pl.len(), dtype=pl.Int64), value=brand).drop_nulls()
    return shared_values(coded["row"].to_numpy(), coded["value"].to_numpy(), target_queries, target_rows)


def _demonstrate(
    queries: pl.DataFrame, full: pl.DataFrame, documents: pl.DataFrame, rng: np.random.Generator
) -> pl.DataFrame:
    """Two rewrites for each training query, from different Exact documents if it has several."""
    training, rows = draw_targets(queries, full, DEMONSTRATIONS_PER_QUERY, rng)
    targets = documents[rows]
    query = training.select(words(pl.col("query"))).to_series()
    length = query.list.len().to_numpy().astype(np.int64)
    title = targets.select(words(pl.col("title"))).to_series()
    text = targets.select(words(pl.col("text").str.head(QUOTED_CHARACTERS))).to_series()
    brand, colour = (targets.select(words(pl.col(name)).list.head(4)).to_series() for name in ("brand", "colour"))
    other = documents[rng.integers(0, documents.height, targets.height)].select(words(pl.col("title"))).to_series()
    return join_phrases(
        training["query_id"],
        word_runs(query, np.maximum((length + 1) // 2, 1), np.maximum(length, 1), rng),
        [
            keep_some(word_runs(title, 1, 3, rng), 0.8, rng),
            keep_some(word_runs(title, 1, 3, rng), 0.8, rng),
            keep_some(word_runs(text, 1, 3, rng), 0.5, rng),
            keep_some(brand.list.join(" "), 0.4, rng),
            keep_some(colour.list.join(" "), 0.4, rng),
            keep_some(word_runs(other, 1, 2, rng), 0.3, rng),
        ],
        rng,
    )

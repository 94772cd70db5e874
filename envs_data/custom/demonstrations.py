"""Demonstrations of a user's own data: those of the file, or made ones of a kind."""

import numpy as np
import polars as pl

from envs_data.assembly.demonstrations import ADDED_KINDS, draw_targets, join_phrases, keep_some, word_runs
from envs_data.assembly.expansions import expansions
from envs_data.assembly.words import words
from envs_data.custom.tables import OwnTables
from envs_data.splits import random_stream

__all__ = ["own_demonstrations"]

DEMONSTRATIONS_PER_QUERY = 2
QUOTED_CHARACTERS = 1_000  # of a document's text that demonstrations may quote


def own_demonstrations(
    tables: OwnTables, queries: pl.DataFrame, judgements: pl.DataFrame, documents: pl.DataFrame, kind: str, seed: int
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Demonstrations of the file, or made ones if there is none.

    Args:
        tables: The user's tables.
        queries: Queries in their final order.
        judgements: Documents that may be ranked for a query: ``number``, ``doc_row``, ``gain``.
        documents: Documents in their final order.
        kind: Kind of those that are made.
        seed: Seed of those that are made.

    Returns:
        Columns ``query_id`` and ``text``, and counts for the manifest.
    """
    if tables.demonstrations is None:
        rng = random_stream(seed, "demonstrations")
        if kind in ADDED_KINDS:
            return expansions(documents, queries, judgements, kind, rng)
        made = _demonstrate(queries, judgements.filter(pl.col("gain") >= 1.0), documents, rng)
        return made, {"demonstrations_not_of_training": 0}
    training = queries.filter(pl.col("split") == "train").select("query_id", "number")
    usable = tables.demonstrations.join(training, on="query_id").sort("number", "text").select("query_id", "text")
    return usable, {"demonstrations_not_of_training": tables.demonstrations.height - usable.height}


def _demonstrate(
    queries: pl.DataFrame, full: pl.DataFrame, documents: pl.DataFrame, rng: np.random.Generator
) -> pl.DataFrame:
    """Two rewrites for each training query, from different documents of full gain if it has several."""
    training, rows = draw_targets(queries, full, DEMONSTRATIONS_PER_QUERY, rng)
    targets = documents[rows]
    query = training.select(words(pl.col("query"))).to_series()
    length = query.list.len().to_numpy().astype(np.int64)
    lead = targets.select(words(pl.col("lead"))).to_series()
    quoted = pl.col("text").str.strip_prefix(pl.col("title")).str.head(QUOTED_CHARACTERS)
    body = targets.select(words(quoted)).to_series()
    other = documents[rng.integers(0, documents.height, targets.height)].select(words(pl.col("lead"))).to_series()
    return join_phrases(
        training["query_id"],
        word_runs(query, np.maximum((length + 1) // 2, 1), np.maximum(length, 1), rng),
        [
            keep_some(word_runs(lead, 1, 3, rng), 0.8, rng),
            keep_some(word_runs(lead, 1, 3, rng), 0.8, rng),
            keep_some(word_runs(body, 1, 3, rng), 0.5, rng),
            keep_some(word_runs(body, 1, 3, rng), 0.5, rng),
            keep_some(word_runs(other, 1, 2, rng), 0.3, rng),
        ],
        rng,
    )

"""Gains of a user's judgements, and the queries that have a document of full gain."""

import numpy as np
import polars as pl

from envs_data.custom.tables import OwnTables
from envs_data.errors import DataError

__all__ = ["usable_judgements"]


def usable_judgements(
    tables: OwnTables, documents: pl.DataFrame, full_gain: float | None, *, graded: bool
) -> tuple[pl.DataFrame, float, dict[str, int]]:
    """Divide judgements by the full level, and keep those of queries with a document of full gain.

    A gain is full from 1 on. A document that is the query itself is no such document, since it is never ranked for it;
    its judgement stays, as in the published evaluation of data sets that have some.

    Args:
        tables: The user's tables.
        documents: Documents in their final order, ``doc_id``.
        full_gain: The full level, above 0; ``None`` for the largest of the judgements.
        graded: Whether gains above 1 stay; otherwise they become 1.

    Returns:
        ``query_id``, ``doc_row``, ``gain`` and ``own``, whether the document is the query itself; the full level;
        numbers of queries and judgements left out.

    Raises:
        DataError: No gain is above 0 or none is full, or one is too large to be divided.
    """
    largest = float(np.max(tables.qrels["gain"].to_numpy(), initial=0.0))
    level = largest if full_gain is None else full_gain
    if level <= 0:
        raise DataError("expected judgements with a gain above 0, but all are 0; check the column of gains")
    if not np.isfinite(largest / level):
        raise DataError(f"expected judgements up to {level:g} times the largest number; got {largest:g}")
    rows = documents.select("doc_id", doc_row=pl.int_range(pl.len(), dtype=pl.Int64))
    judged = tables.qrels["gain"].to_numpy()
    shares = (judged if graded else np.minimum(judged, level)) / level  # by NumPy: in Polars 49 / 49 is below 1
    own = (pl.col("query_id") == pl.col("doc_id")) & pl.lit(tables.identical_ids)
    gains = tables.qrels.with_columns(own.alias("own"), gain=pl.Series(shares)).join(rows, on="doc_id")
    usable = gains.filter(((pl.col("gain") >= 1.0) & ~pl.col("own")).any().over("query_id"))
    n_judged = gains["query_id"].n_unique()
    if usable.is_empty():
        raise DataError(
            f"expected queries with a judgement of at least {level:g}, which is full gain, but there are none among "
            f"{n_judged} judged queries; the largest is {largest:g}: choose another full gain"
        )
    return (
        usable,
        level,
        {
            "queries_without_judgement": tables.queries.height - n_judged,
            "queries_without_full_gain": n_judged - usable["query_id"].n_unique(),
            "judgements_of_queries_left_out": gains.height - usable.height,
        },
    )

"""Gains of a user's judgements, and the queries that have a document of full gain."""

import numpy as np
import polars as pl

from envs_data.custom.tables import OwnTables
from envs_data.errors import DataError

__all__ = ["usable_judgements"]


def usable_judgements(
    tables: OwnTables, documents: pl.DataFrame, full_gain: float | None
) -> tuple[pl.DataFrame, float, dict[str, int]]:
    """Judgements with gains, of queries with a document of full gain; the full level; numbers of rows left out."""
    largest = float(np.max(tables.qrels["gain"].to_numpy(), initial=0.0))
    level = largest if full_gain is None else full_gain
    if level <= 0:
        raise DataError("expected judgements with a gain above 0, but all are 0; check the column of gains")
    rows = documents.select("doc_id", doc_row=pl.int_range(pl.len(), dtype=pl.Int64))
    shares = np.minimum(tables.qrels["gain"].to_numpy(), level) / level  # by NumPy: in Polars 49 / 49 is below 1
    gains = tables.qrels.with_columns(gain=pl.Series(shares)).join(rows, on="doc_id")
    usable = gains.filter((pl.col("gain") == 1.0).any().over("query_id"))
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

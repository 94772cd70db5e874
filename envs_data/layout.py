"""The five tables of a prepared directory: their columns, and the conditions that they must meet."""

from collections.abc import Mapping
from typing import Any, TypeVar

import polars as pl

from envs_data.errors import DataError, one_line

__all__ = ["SPLITS", "TABLES", "cast_table", "check_tables"]

SPLITS = ("train", "validation", "test")

TABLES: Mapping[str, Mapping[str, Any]] = {
    "documents": {"doc_id": pl.String, "title": pl.String, "text": pl.String},
    "queries": {
        "query_id": pl.String,
        "split": pl.String,
        "query": pl.String,
        "history": pl.List(pl.String),
        "intent": pl.List(pl.String),
    },
    "pools": {"query_id": pl.String, "doc_rows": pl.List(pl.UInt32)},
    "qrels": {"query_id": pl.String, "doc_row": pl.UInt32, "gain": pl.Float64},
    "demonstrations": {"query_id": pl.String, "text": pl.String},
}
"""Columns of each table and their types; ``envs_data.prepared`` describes their meaning."""


_Frame = TypeVar("_Frame", pl.DataFrame, pl.LazyFrame)


def cast_table(name: str, frame: _Frame) -> _Frame:
    """Select the columns of a table in their order and cast them to their types; other columns are dropped.

    Raises:
        DataError: A column is missing, or a value does not fit its type; of a lazy frame only the first is found here.
    """
    schema = TABLES[name]
    present = frame.collect_schema().names()
    missing = [column for column in schema if column not in present]
    if missing:
        raise DataError(f"table {name}: expected columns {', '.join(schema)}; missing {', '.join(missing)}")
    try:
        return frame.select(pl.col(column).cast(dtype) for column, dtype in schema.items())
    except pl.exceptions.PolarsError as error:
        raise DataError(f"table {name}: {one_line(error)}") from error


def check_tables(documents: pl.LazyFrame, tables: Mapping[str, pl.DataFrame]) -> None:
    """Check every condition that a task relies on, in about 20 ns a pooled document; only documents' ids are held.

    Args:
        documents: The documents' table, as ``cast_table`` returns it.
        tables: The other four tables, likewise.

    Raises:
        DataError: A value is missing, an id comes twice or names nothing, or a query cannot be answered in its pool.
    """
    queries, pools, qrels = (tables[name] for name in ("queries", "pools", "qrels"))
    summary = documents.select(
        pl.len().alias("rows"), pl.col("doc_id").n_unique().alias("ids"), pl.all().null_count().name.suffix(" null")
    )
    totals = summary.collect(engine="streaming").row(0, named=True)
    n_documents = totals["rows"]
    for name, height in (("documents", n_documents), ("queries", queries.height)):
        if not height:
            raise DataError(f"no {name} are left after filtering; check the source and the filters")
    for column in TABLES["documents"]:
        _check_count("documents", column, totals[f"{column} null"])
    for name, frame in tables.items():
        _check_nulls(name, frame)
    if totals["ids"] != n_documents:
        raise DataError("doc_id must be unique among the documents")
    if queries["query_id"].n_unique() != queries.height:
        raise DataError("query_id must be unique among the queries, over all splits")
    if not set(queries["split"].unique()) <= set(SPLITS):
        raise DataError(f"split must be one of {', '.join(SPLITS)}; got {queries['split'].unique().sort().to_list()}")
    if not pools["query_id"].equals(queries["query_id"]):
        raise DataError("pools must have the queries' ids in the queries' order")
    _check_pools(pools, n_documents)
    _check_qrels(qrels, pools, n_documents)
    training = queries.filter(pl.col("split") == "train")
    if tables["demonstrations"].join(training, on="query_id", how="anti").height:
        raise DataError("demonstrations must come from training queries only")


def _check_nulls(name: str, frame: pl.DataFrame) -> None:
    for column in frame.iter_columns():
        nulls = column.null_count()
        if column.dtype == pl.List:
            nulls += int(column.list.len().sum()) - column.explode().count()
        _check_count(name, column.name, nulls)


def _check_count(name: str, column: str, nulls: int) -> None:
    if nulls:
        raise DataError(f"table {name}: expected a value in every row of {column}; {nulls:,} are null")


def _check_pools(pools: pl.DataFrame, n_documents: int) -> None:
    """Check pools by their numbers; comparing ids row by row would take twenty times as long."""
    numbered = pools.select("doc_rows", pool=pl.int_range(pl.len(), dtype=pl.UInt32)).explode("doc_rows")
    pool, row = pl.col("pool"), pl.col("doc_rows")
    if (pools["doc_rows"].list.len() == 0).any() or numbered.filter(row >= n_documents).height:
        raise DataError("every pool must name existing document rows, at least one")
    if numbered.filter((pool == pool.shift()) & (row <= row.shift())).height:
        raise DataError("every pool must hold its document rows ascending and none twice")


def _check_qrels(qrels: pl.DataFrame, pools: pl.DataFrame, n_documents: int) -> None:
    if not (qrels["gain"].is_finite() & (qrels["gain"] >= 0.0)).all():
        raise DataError("every gain must be a finite number of at least 0")
    if (qrels["doc_row"] >= n_documents).any():
        raise DataError("every judgement must name an existing document row")
    if qrels.select("query_id", "doc_row").is_duplicated().any():
        raise DataError("a query must judge a document once")
    full = qrels.filter(pl.col("gain") >= 1.0).join(pools, on="query_id")
    answered = full.filter(pl.col("doc_rows").list.contains(pl.col("doc_row")))
    without = pools.join(answered, on="query_id", how="anti")
    if without.height:
        raise DataError(f"query {without['query_id'][0]!r} has no document of full gain in its pool")

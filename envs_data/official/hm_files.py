"""Readers of the official files of H&M Personalized Fashion Recommendations."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from envs_data.errors import DataError
from envs_data.official.sources import check_key, collect, scan_csv

__all__ = ["ARTICLES", "CUSTOMERS", "TRANSACTIONS", "Purchases", "read_documents", "read_purchases"]

ARTICLES = ("articles.csv", "articles.csv.gz")
TRANSACTIONS = ("transactions_train.csv", "transactions_train.csv.gz")
CUSTOMERS = ("customers.csv", "customers.csv.gz")
UNKNOWN = "Unknown"
_ID_DIGITS = 10
_ATTRIBUTES = {
    "name": "prod_name",
    "type": "product_type_name",
    "colour": "colour_group_name",
    "appearance": "graphical_appearance_name",
    "garment": "garment_group_name",
    "index": "index_group_name",
    "section": "section_name",
    "department": "department_name",
    "detail": "detail_desc",
}


@dataclass(frozen=True)
class Purchases:
    """Purchases of the customers who bought on two dates or more.

    Attributes:
        customers: ``customer`` (number, ascending), ``customer_id`` (ascending), ``last`` (latest date of a purchase).
        table: ``customer``, ``date``, ``doc_row``; sorted by these, no row twice.
        counts: Numbers of customers, and of purchases and customers left out.
    """

    customers: pl.DataFrame
    table: pl.DataFrame
    counts: dict[str, int]


def read_documents(path: Path) -> pl.DataFrame:
    """Read all articles as documents.

    Args:
        path: Official articles file.

    Returns:
        ``doc_id`` (the article id, padded to 10 digits; ascending), ``title``, ``text`` (the attributes on lines of
        their own) and the attributes under short names, null if unknown.

    Raises:
        DataError: The file is wrong or names an article twice.
    """
    scan = scan_csv(path, ["article_id", *_ATTRIBUTES.values()])
    attributes = [_known_value(pl.col(column)).alias(name) for name, column in _ATTRIBUTES.items()]
    documents = collect(
        scan.select(_article_id().alias("doc_id"), *attributes).with_columns(
            title=pl.col("name").fill_null(""),
            text=pl.concat_str(list(_ATTRIBUTES), separator="\n", ignore_nulls=True),
        ),
        path,
    )
    if documents.is_empty():
        raise DataError(f"{path}: expected articles, but there are none")
    check_key(documents, "doc_id", path)
    return documents.sort("doc_id")


def read_purchases(
    path: Path, documents: pl.DataFrame, max_customers: int | None, rng: np.random.Generator
) -> Purchases:
    """Read the purchases of customers who bought something before their last date.

    The file is read twice in batches, first for each customer's dates, then for the purchases of those kept, so that
    memory grows with the customers and not with the rows.

    Args:
        path: Official transactions file.
        documents: All documents, ``doc_id`` in final order.
        max_customers: Largest number of customers, drawn at random; ``None`` for all.
        rng: Source of randomness.

    Returns:
        The customers and their purchases of known articles.

    Raises:
        DataError: The file is wrong, a date is not of the form 2020-09-22, or no customer is left.
    """
    rows = documents.lazy().select("doc_id", doc_row=pl.int_range(pl.len(), dtype=pl.Int64))
    purchases = (
        scan_csv(path, ["customer_id", "t_dat", "article_id"])
        .select("customer_id", pl.col("t_dat").str.to_date("%Y-%m-%d").alias("date"), _article_id().alias("doc_id"))
        .join(rows, on="doc_id", how="left")
        .select("customer_id", "date", "doc_row")
    )
    complete = pl.all_horizontal(pl.all().is_not_null())
    date = pl.col("date").filter(complete)
    dates = collect(
        purchases.group_by("customer_id").agg(
            date.min().alias("first"), date.max().alias("last"), complete.sum().alias("kept"), pl.len().alias("rows")
        ),
        path,
    )
    repeat_customers = dates.filter(pl.col("first") < pl.col("last")).sort("customer_id")
    if repeat_customers.is_empty():
        raise DataError(
            f"{path}: expected customers who bought known articles on two dates or more, but there are none"
        )
    n_eligible = repeat_customers.height
    if max_customers is not None and max_customers < n_eligible:
        repeat_customers = repeat_customers[np.sort(rng.permutation(n_eligible)[:max_customers])]
    customers = repeat_customers.select(pl.int_range(pl.len(), dtype=pl.Int64).alias("customer"), "customer_id", "last")
    usable = purchases.filter(complete).join(customers.lazy().select("customer_id", "customer"), on="customer_id")
    return Purchases(
        customers,
        collect(usable.select("customer", "date", "doc_row").unique().sort("customer", "date", "doc_row"), path),
        {
            "purchases_unusable": dates.select((pl.col("rows").cast(pl.Int64) - pl.col("kept")).sum()).item(),
            "customers": dates.height,
            "customers_without_earlier_purchase": dates.height - n_eligible,
            "customers_not_drawn": n_eligible - customers.height,
        },
    )


def _article_id() -> pl.Expr:
    return pl.col("article_id").str.strip_chars().str.zfill(_ID_DIGITS)


def _known_value(text: pl.Expr) -> pl.Expr:
    stripped = text.str.strip_chars()
    return pl.when((stripped != "") & (stripped != UNKNOWN)).then(stripped)

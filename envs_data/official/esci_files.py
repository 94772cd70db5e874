"""Readers of the two official files of the Shopping Queries Dataset."""

from pathlib import Path

import polars as pl

from envs_data.assembly.words import plain_text
from envs_data.errors import DataError, unknown_name
from envs_data.official.sources import check_key, collect, scan_parquet

__all__ = ["EXAMPLES", "GAINS", "PRODUCTS", "VERSIONS", "read_documents", "read_examples"]

EXAMPLES = "shopping_queries_dataset_examples.parquet"
PRODUCTS = "shopping_queries_dataset_products.parquet"
GAINS = {"E": 1.0, "S": 0.1, "C": 0.01, "I": 0.0}
VERSIONS = ("small", "large")
_TEXT_COLUMNS = ("product_title", "product_brand", "product_color", "product_bullet_point", "product_description")


def read_examples(path: Path, locale: str, version: str) -> pl.DataFrame:
    """Read the judgements of one locale and version.

    Args:
        path: Official examples file.
        locale: A locale of the file.
        version: ``"small"`` or ``"large"``.

    Returns:
        ``query_id``, ``query`` (blank where unknown), ``product_id``, ``gain``, ``is_test``; sorted by query and
        product; of a repeated pair the higher gain comes first.

    Raises:
        DataError: The file is wrong, the locale, a label or a split is unknown, or nothing is left.
    """
    if version not in VERSIONS:
        raise DataError(unknown_name("version", version, VERSIONS))
    flag = f"{version}_version"
    columns = ["query_id", "query", "product_id", "product_locale", "esci_label", "split", flag]
    scan = scan_parquet(path, columns).with_columns(pl.col(columns[:-1]).cast(pl.String))
    locales = collect(scan.select(pl.col("product_locale").unique()), path)["product_locale"].drop_nulls().to_list()
    if locale not in locales:
        raise DataError(unknown_name("locale", locale, locales))
    examples = collect(scan.filter(pl.col("product_locale") == locale, pl.col(flag).cast(pl.Int64) == 1), path)
    if examples.is_empty():
        raise DataError(f"{path}: expected judgements of locale {locale!r} with {flag} = 1, but there are none")
    _check_examples(examples, path)
    return examples.select(
        "query_id",
        pl.col("query").fill_null("").str.strip_chars(),
        "product_id",
        pl.col("esci_label").replace_strict(GAINS, return_dtype=pl.Float64).alias("gain"),
        (pl.col("split") == "test").alias("is_test"),
    ).sort("query_id", "product_id", "gain", descending=[False, False, True])


def read_documents(path: Path, locale: str) -> pl.DataFrame:
    """Read the products of one locale as documents.

    Args:
        path: Official products file.
        locale: A locale of the file.

    Returns:
        ``doc_id`` (ascending), ``title``, ``text`` (title, brand, colour, bullet points and description on lines of
        their own, without markup), and ``brand`` and ``colour``, null where unknown.

    Raises:
        DataError: The file is wrong, has no product of the locale, or has one twice.
    """
    scan = scan_parquet(path, ["product_id", "product_locale", *_TEXT_COLUMNS])
    cleaned = scan.filter(pl.col("product_locale") == locale).select(
        pl.col("product_id").cast(pl.String).alias("doc_id"),
        *(plain_text(pl.col(name).cast(pl.String)) for name in _TEXT_COLUMNS),
    )
    documents = collect(
        cleaned.select(
            "doc_id",
            pl.col("product_title").fill_null("").alias("title"),
            pl.concat_str(_TEXT_COLUMNS, separator="\n", ignore_nulls=True).alias("text"),
            pl.col("product_brand").alias("brand"),
            pl.col("product_color").alias("colour"),
        ),
        path,
    )
    if documents.is_empty():
        raise DataError(f"{path}: expected products of locale {locale!r}, but there are none")
    check_key(documents, "doc_id", path)
    return documents.sort("doc_id")


def _check_examples(examples: pl.DataFrame, path: Path) -> None:
    for column in ("query_id", "product_id"):
        if examples[column].null_count():
            raise DataError(f"{path}: expected a {column} in every row; {examples[column].null_count()} rows have none")
    for column, names in (("esci_label", list(GAINS)), ("split", ["train", "test"])):
        unknown = examples.filter(~pl.col(column).is_in(names).fill_null(False))[column]
        if len(unknown):
            raise DataError(f"{path}: {unknown_name(column, unknown.sort()[0], names)}")
    per_query = examples.group_by("query_id").agg(pl.col("query", "split").n_unique())
    mixed = per_query.filter((pl.col("query") > 1) | (pl.col("split") > 1))["query_id"].min()
    if mixed is not None:
        raise DataError(f"{path}: expected one text and one split for each query; query {mixed!r} has several")

"""Documents that share a word with a query's full-gain documents, or with the query itself."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from envs_data.assembly.buckets import SharedValues, named_values, shared_values
from envs_data.assembly.words import words

__all__ = ["name_query_word", "share_rare_word"]

Ints = NDArray[np.int64]


def share_rare_word(titles: pl.Series, target_queries: Ints, target_rows: Ints) -> SharedValues:
    """Group documents by rare words; a query may draw from the words of its targets, the rarest first.

    A word is rare in 2 to max(50, D / 1000) of the D titles.

    Args:
        titles: Title of each document, str (D,).
        target_queries: Query number of each (query, full-gain document) pair: (T,).
        target_rows: Document row of each such pair: (T,).
    """
    coded = _coded(titles, 2, max(50, len(titles) // 1000)).drop("word")
    return shared_values(coded["row"].to_numpy(), coded["value"].to_numpy(), target_queries, target_rows)


def name_query_word(titles: pl.Series, queries: pl.Series) -> SharedValues:
    """Group documents by title words; a query may draw from the words that it holds, the rarest first.

    Words in more than max(1000, D / 100) of the D titles do not count.

    Args:
        titles: Title of each document, str (D,).
        queries: Text of each query, str (Q,).
    """
    coded = _coded(titles, 1, max(1000, len(titles) // 100))
    query_words = _words(queries).rename({"row": "query"})
    keys = query_words.join(coded.unique("word").select("word", "value"), on="word").sort("query", "value")
    pairs = coded["row"].to_numpy(), coded["value"].to_numpy()
    return named_values(*pairs, keys["query"].to_numpy(), keys["value"].to_numpy())


def _coded(titles: pl.Series, fewest: int, most: int) -> pl.DataFrame:
    """Columns ``row``, ``word`` and its code ``value``, of words in ``fewest`` to ``most`` titles."""
    pairs = _words(titles)
    vocabulary = pairs.group_by("word").len().filter(pl.col("len").is_between(fewest, most)).sort("word")
    return pairs.join(vocabulary.select("word", value=pl.int_range(pl.len(), dtype=pl.Int64)), on="word")


def _words(texts: pl.Series) -> pl.DataFrame:
    """Columns ``row`` and ``word``, each word of a text once."""
    table = pl.DataFrame({"text": texts}).select(
        row=pl.int_range(pl.len(), dtype=pl.Int64), word=words(pl.col("text")).list.unique()
    )
    return table.explode("word").drop_nulls()

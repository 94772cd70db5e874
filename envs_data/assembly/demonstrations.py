"""Kinds of example rewrites, and those made of noisy phrases: a warm start that leaves room to learn.

A rewrite of phrases is a list of short phrases separated by commas, so that it has segments. All functions on them
work on whole columns; null means "no phrase".
"""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from envs_data.assembly.words import MAX_WORDS, count_words
from envs_data.errors import DataError, unknown_name

__all__ = [
    "ADDED_KINDS",
    "KINDS",
    "check_kind",
    "draw_targets",
    "join_phrases",
    "keep_some",
    "recorded_kind",
    "swap_some",
    "word_runs",
]

KINDS = ("phrases", "expansions", "associations")
"""Kinds of demonstrations: phrases of the query and its full-gain documents, or words to add to the query. Of these,
expansions are chosen by what was right for the query, and associations are all that counting proposes."""

ADDED_KINDS = KINDS[1:]
"""Kinds that are words to add to the query, not rewrites by themselves."""

Ints = NDArray[np.int64]


def check_kind(kind: object) -> None:
    """Raise ``DataError`` unless a kind of demonstrations is one of :data:`KINDS`."""
    if kind not in KINDS:
        raise DataError(unknown_name("kind of demonstrations", str(kind), KINDS))


def recorded_kind(kind: str) -> Mapping[str, str]:
    """The argument that a manifest records for a kind: none for ``phrases``, which data of before have too."""
    return {} if kind == KINDS[0] else {"demonstrations": kind}


def draw_targets(
    queries: pl.DataFrame, full: pl.DataFrame, per_query: int, rng: np.random.Generator
) -> tuple[pl.DataFrame, pl.Series]:
    """Draw documents of full gain for each training query, different ones if it has several.

    Args:
        queries: ``number`` (ascending), ``split`` and any other columns.
        full: Judgements of full gain: ``number`` and ``doc_row``; at least one of every training query.
        per_query: Documents for each query, R in all.
        rng: Source of randomness.

    Returns:
        The query of each document, as a row of ``queries`` (R,), and the document's row (R,).
    """
    training = queries.filter(pl.col("split") == "train")
    targets = full.join(training.select("number"), on="number", how="semi").sort("number", "doc_row")
    shuffled = targets[np.lexsort((rng.random(targets.height), targets["number"].to_numpy()))]
    count = shuffled.group_by("number", maintain_order=True).len()["len"].to_numpy().astype(np.int64)
    start = np.cumsum(count) - count
    places = start[:, None] + np.arange(per_query) % count[:, None]
    return training[np.repeat(np.arange(training.height), per_query)], shuffled["doc_row"].gather(places.ravel())


def word_runs(words: pl.Series, shortest: int | Ints, longest: int | Ints, rng: np.random.Generator) -> pl.Series:
    """Draw a random run of consecutive words from each list.

    Args:
        words: list[str] (R,); null counts as empty.
        shortest: Smallest number of words of a run, at least 1; one for all, or (R,).
        longest: Largest number of words, at least ``shortest``; a shorter list is taken whole.
        rng: Source of randomness.

    Returns:
        str (R,); null for an empty list.

    >>> word_runs(pl.Series([["red", "dress"], []]), 2, 3, np.random.default_rng(0)).to_list()
    ['red dress', None]
    """
    available = words.list.len().fill_null(0).to_numpy().astype(np.int64)
    length = np.minimum(rng.integers(shortest, np.asarray(longest) + 1, len(words)), available)
    start = np.floor(rng.random(len(words)) * (available - length + 1)).astype(np.int64)
    table = pl.DataFrame({"words": words, "start": start, "length": length})
    runs = table.select(pl.col("words").list.slice(pl.col("start"), pl.col("length")).list.join(" ")).to_series()
    return _nulls_where(runs, available == 0)


def keep_some(phrases: pl.Series, share: float, rng: np.random.Generator) -> pl.Series:
    """Keep each phrase with probability ``share``, otherwise make it null; str (R,)."""
    return _nulls_where(phrases, rng.random(len(phrases)) >= share)


def swap_some(phrases: pl.Series, share: float, others: pl.Series, rng: np.random.Generator) -> pl.Series:
    """Replace each phrase, with probability ``share``, by one drawn from ``others``; str (R,)."""
    replacements = others.gather(rng.integers(0, len(others), len(phrases)))
    return replacements.zip_with(pl.Series(rng.random(len(phrases)) < share), phrases)


def join_phrases(
    query_ids: pl.Series, lead: pl.Series, others: Sequence[pl.Series], rng: np.random.Generator
) -> pl.DataFrame:
    """Join phrases to rewrites: the lead phrase, then the others in random order, separated by commas, none twice.

    The phrase that would exceed 16 words in all is left out, and so are those after it; the lead is always kept.

    Args:
        query_ids: The query of each rewrite, str (R,).
        lead: First phrase, str (R,).
        others: Further phrases, each str (R,).
        rng: Source of randomness.

    Returns:
        Columns ``query_id`` and ``text``, in the order of ``query_ids``; a rewrite without a phrase is left out.

    >>> phrases = [pl.Series(["mini", None])]
    >>> join_phrases(pl.Series(["a", "b"]), pl.Series(["skirt", "hat"]), phrases, np.random.default_rng(0))["text"].to_list()
    ['skirt, mini', 'hat']
    """  # noqa: E501 - a doctest
    rewrite = pl.Series("rewrite", range(len(query_ids)), dtype=pl.UInt32)
    parts = [pl.DataFrame({"rewrite": rewrite, "place": np.full(len(lead), -1.0), "phrase": lead})]
    parts += [pl.DataFrame({"rewrite": rewrite, "place": rng.random(len(lead)), "phrase": each}) for each in others]
    table = pl.concat(parts).filter(pl.col("phrase").str.strip_chars() != "").sort("rewrite", "place")
    total = count_words(pl.col("phrase")).cum_sum().over("rewrite")
    table = table.filter((total <= MAX_WORDS) | (pl.col("place") < 0))
    texts = table.group_by("rewrite", maintain_order=True).agg(
        pl.col("phrase").unique(maintain_order=True).str.join(", ").alias("text")
    )
    return texts.select(query_ids.gather(texts["rewrite"]).alias("query_id"), "text")


def _nulls_where(phrases: pl.Series, dropped: NDArray[np.bool_]) -> pl.Series:
    return phrases.zip_with(pl.Series(~dropped), pl.Series([None], dtype=pl.String).new_from_index(0, len(phrases)))

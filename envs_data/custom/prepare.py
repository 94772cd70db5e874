"""Preparation of a user's own corpus, queries and judgements, from tables or from the layout of BEIR.

- **Documents** have a title and a text; both are indexed.
- **Gains**: a judgement of at least the *full* level has gain 1, a lower one its share of that level. So with labels
  0 to 3 and full level 3 the gains are 0, 1/3, 2/3 and 1, and with full level 1 they are 0 and 1. *Graded* gains are
  shares above 1 too: with full level 1 they are 0, 1, 2 and 3, and nDCG is that of the labels. A gain of at least 1 is
  full. A query without a document of full gain is left out and counted: mean reciprocal rank and recall count full
  gain only.
- **Splits** are those of the files, if these have any; otherwise they are drawn by seed.
- **Negatives**: *hard* shares a rare word of the title with a document of full gain, *related* has a word of the query
  in its title. The first 200 characters of the text take the place of a missing title.
- **Demonstrations** are those of the file, as far as they belong to training queries; without a file, each is a run
  of the query's words, then phrases from the title and the text of a full-gain document, some dropped, and at times
  one of another document's title.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from envs_data.assembly.pools import build_pools, check_pool_size
from envs_data.assembly.shared_words import name_query_word, share_rare_word
from envs_data.assembly.words import count_long
from envs_data.custom.beir import read_beir
from envs_data.custom.demonstrations import own_demonstrations
from envs_data.custom.judgements import usable_judgements
from envs_data.custom.tables import OwnTables, read_tables
from envs_data.errors import DataError
from envs_data.files import file_sha256, is_synthetic
from envs_data.layout import SPLITS
from envs_data.prepared import PreparedData
from envs_data.splits import random_stream, shuffle_within_splits, split_labels
from envs_data.writing import check_replaceable, write_prepared

__all__ = ["prepare_beir", "prepare_tables"]

_TITLE_CHARACTERS = 200  # of a text that replaces a missing title


@dataclass(frozen=True)
class _Settings:
    """Arguments of both kinds of source; a ``full_gain`` of ``None`` is the largest level."""

    full_gain: float | None
    graded: bool
    validation_share: float
    test_share: float
    pool_size: int
    seed: int

    def check(self) -> None:
        """Raise ``DataError`` for an argument out of range."""
        check_pool_size(self.pool_size)
        random_stream(self.seed, "documents")  # checks the seed
        if self.full_gain is not None and not (math.isfinite(self.full_gain) and self.full_gain > 0):
            raise DataError(f"full gain must be a finite number above 0; got {self.full_gain!r}")
        for share, name in ((self.validation_share, "validation share"), (self.test_share, "test share")):
            if not 0 <= share < 1:
                raise DataError(f"{name} must be a number from 0 to less than 1; got {share!r}")
        if self.validation_share + self.test_share >= 1:
            raise DataError("validation share and test share must sum to less than 1; the rest is for training")


def prepare_tables(
    documents: Path,
    queries: Path,
    qrels: Path,
    out: Path,
    *,
    demonstrations: Path | None = None,
    history_separator: str = "|",
    multiline: bool = False,
    full_gain: float | None = None,
    graded: bool = False,
    validation_share: float = 0.1,
    test_share: float = 0.1,
    pool_size: int = 100,
    seed: int = 0,
    skip_unknown: bool = False,
) -> PreparedData:
    """Make a prepared directory from tables, whose columns ``envs_data.custom.tables`` lists.

    The same rows, arguments and seed give the same tables, whatever the format and the order of the rows.

    Args:
        documents: File of the documents; like the others Parquet, CSV, TSV or JSON Lines.
        queries: File of the queries. Without a column ``split``, splits are drawn.
        qrels: File of the judgements.
        out: Directory to write; an earlier prepared directory there is replaced.
        demonstrations: File of example rewrites, if there is one.
        history_separator: Text between the entries of a history that is written as one text.
        multiline: Whether quoted fields of CSV files may hold line breaks; otherwise such a field is a fault, since two
            stray quotes make one of all rows between them.
        full_gain: Level of a judgement from which its gain is 1, above 0; ``None`` for the largest of the file.
        graded: Whether judgements above that level have gains above 1, so that nDCG tells them apart.
        validation_share: Share of validation queries, in [0, 1), if splits are drawn.
        test_share: Share of test queries, likewise.
        pool_size: Number of documents in a query's pool, from 2 to 10,000; more judged documents are all kept.
        seed: Seed of document order, splits, negatives and demonstrations, from 0 to 2**63 - 1.
        skip_unknown: Whether judgements of unknown queries or documents are left out and counted; otherwise each is a
            fault.

    Returns:
        The data set as written.

    Raises:
        FileFaults: The files contain errors; up to 20 are listed.
        DataError: A file is missing, an argument is out of range, or nothing is left.
    """
    settings = _Settings(full_gain, graded, validation_share, test_share, pool_size, seed)
    settings.check()
    examples = None if demonstrations is None else Path(demonstrations)
    check_replaceable(Path(out), *filter(None, (Path(documents), Path(queries), Path(qrels), examples)))
    tables = read_tables(
        Path(documents),
        Path(queries),
        Path(qrels),
        examples,
        separator=history_separator,
        multiline=multiline,
        skip_unknown=skip_unknown,
    )
    drawn_splits = SPLITS if tables.queries["split"].null_count() else ()
    others = {"history_separator": history_separator, "skip_unknown": skip_unknown}
    return _prepare(tables, Path(out), "own", settings, drawn_splits, others)


def prepare_beir(
    source: Path,
    out: Path,
    *,
    keep_splits: bool = False,
    full_gain: float = 1.0,
    graded: bool = False,
    validation_share: float = 0.1,
    test_share: float = 0.1,
    pool_size: int = 100,
    seed: int = 0,
    skip_unknown: bool = False,
) -> PreparedData:
    """Make a prepared directory from the layout of BEIR, which ``envs_data.custom.beir`` describes.

    Splits are those of the files of judgements. Most such data sets have no ``train.tsv`` and so no training queries:
    then splits are drawn from all judged queries. If there is a ``train.tsv`` and no ``dev.tsv``, validation queries
    are drawn from the training ones.

    Args:
        source: Directory of the files.
        out: Directory to write; an earlier prepared directory there is replaced.
        keep_splits: Whether no split is drawn, even if there are no training or validation queries then.
        full_gain: Level of a judgement from which its gain is 1, above 0. By default every positive judgement has
            gain 1, since few of these data sets have a document of their highest level for each query.
        graded: As in :func:`prepare_tables`. With the default level, gains are the judgements themselves: nDCG is that
            of trec_eval on the published files, and every query with a positive judgement stays.
        validation_share: As in :func:`prepare_tables`.
        test_share: As in :func:`prepare_tables`.
        pool_size: As in :func:`prepare_tables`.
        seed: As in :func:`prepare_tables`.
        skip_unknown: As in :func:`prepare_tables`.

    Returns:
        The data set as written.

    Raises:
        FileFaults: The files contain errors; up to 20 are listed.
        DataError: A file is missing, an argument is out of range, or nothing is left.
    """
    settings = _Settings(full_gain, graded, validation_share, test_share, pool_size, seed)
    settings.check()
    check_replaceable(Path(out), Path(source))
    tables = read_beir(Path(source), skip_unknown=skip_unknown)
    present = set(tables.queries["split"].drop_nulls())
    if keep_splits or {"train", "validation"} <= present:
        drawn_splits: tuple[str, ...] = ()
    else:
        drawn_splits = SPLITS[:2] if "train" in present else SPLITS
    others = {"keep_splits": keep_splits, "skip_unknown": skip_unknown}
    return _prepare(tables, Path(out), "beir", settings, drawn_splits, others)


def _prepare(
    tables: OwnTables,
    out: Path,
    dataset: str,
    settings: _Settings,
    drawn_splits: tuple[str, ...],
    others: Mapping[str, Any],
) -> PreparedData:
    """Make a prepared directory; queries of ``drawn_splits`` are drawn anew, and the manifest holds ``others`` too."""
    documents = tables.documents.sort("doc_id")
    documents = documents[random_stream(settings.seed, "documents").permutation(documents.height)]
    documents = documents.with_columns(
        text=pl.concat_str("title", "text", separator="\n").str.strip_chars("\n"),
        lead=pl.when(pl.col("title") == "").then(pl.col("text").str.head(_TITLE_CHARACTERS)).otherwise("title"),
    )
    judgements, full_gain, left_out = usable_judgements(tables, documents, settings.full_gain, graded=settings.graded)
    judged_queries = tables.queries.join(judgements, on="query_id", how="semi")
    queries = _ordered_queries(judged_queries, drawn_splits, settings, random_stream(settings.seed, "splits"))
    judgements = judgements.join(queries.select("query_id", "number"), on="query_id").sort("number", "doc_row")
    to_rank = judgements.filter(~pl.col("own"))
    full = to_rank.filter(pl.col("gain") >= 1.0)
    own = _own_documents(queries, documents) if tables.identical_ids else None
    pools, pool_counts = build_pools(
        queries["query_id"],
        documents.height,
        to_rank["number"].to_numpy(),
        to_rank["doc_row"].to_numpy(),
        hard=share_rare_word(documents["lead"], full["number"].to_numpy(), full["doc_row"].to_numpy()),
        related=name_query_word(documents["lead"], queries["query"]),
        pool_size=settings.pool_size,
        rng=random_stream(settings.seed, "pools"),
        exclusions=None if own is None else (own["number"].to_numpy(), own["doc_row"].to_numpy()),
    )
    if own is not None:
        left_out["queries_identical_to_document"] = own.height
        left_out["judgements_identical_to_query"] = judgements.height - to_rank.height
    demonstrations, n_unused = own_demonstrations(tables, queries, full, documents, settings.seed)
    return write_prepared(
        out,
        {
            "documents": documents,
            "queries": queries.with_columns(intent=pl.lit([], dtype=pl.List(pl.String))),
            "pools": pools,
            "qrels": judgements,
            "demonstrations": demonstrations,
        },
        dataset=dataset,
        synthetic=any(is_synthetic(path.parent) for path in tables.files.values()),
        arguments={**asdict(settings), "full_gain": full_gain, "splits_drawn": list(drawn_splits), **others},
        sources={name: file_sha256(path) for name, path in tables.files.items()},
        counts={
            "documents": documents.height,
            "judgements": judgements.height,
            **tables.counts,
            **left_out,
            **count_long(queries["query"]),
            **pool_counts,
            "demonstrations": demonstrations.height,
            "demonstrations_not_of_training": n_unused,
        },
    )


def _own_documents(queries: pl.DataFrame, documents: pl.DataFrame) -> pl.DataFrame:
    """``number`` and ``doc_row`` of each query that is a document itself, ascending by number."""
    rows = documents.select(query_id="doc_id", doc_row=pl.int_range(pl.len(), dtype=pl.Int64))
    return queries.join(rows, on="query_id").select("number", "doc_row").sort("number")


def _ordered_queries(
    judged_queries: pl.DataFrame, drawn_splits: tuple[str, ...], settings: _Settings, rng: np.random.Generator
) -> pl.DataFrame:
    """Queries in their final order: ``number``, ``query_id``, ``query``, ``split``, ``history``."""
    queries = judged_queries.sort("query_id")
    labels = queries["split"].fill_null("").to_numpy().astype("<U10")
    if drawn_splits:
        shares = {"validation": settings.validation_share, "test": settings.test_share}
        shares = {name: share for name, share in shares.items() if name in drawn_splits and share}
        open_rows = labels != "test" if "test" not in drawn_splits else np.full(len(labels), True)
        shares = {"train": 1.0 - sum(shares.values()), **shares}
        labels[open_rows] = split_labels(int(open_rows.sum()), shares, rng)
    ordered = queries.with_columns(split=pl.Series(labels.tolist(), dtype=pl.String))
    ordered = ordered[shuffle_within_splits(labels, rng)]
    return ordered.select(pl.int_range(pl.len(), dtype=pl.Int64).alias("number"), pl.all())

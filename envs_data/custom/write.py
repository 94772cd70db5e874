"""A prepared directory made from a user's checked tables: splits, pools, demonstrations and the manifest."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from envs_data.assembly.demonstrations import check_kind, recorded_kind
from envs_data.assembly.pools import build_pools, check_pool_size
from envs_data.assembly.shared_words import name_query_word, share_rare_word
from envs_data.assembly.words import count_long
from envs_data.custom.demonstrations import own_demonstrations
from envs_data.custom.judgements import usable_judgements
from envs_data.custom.tables import OwnTables
from envs_data.errors import DataError
from envs_data.files import file_sha256, is_synthetic
from envs_data.prepared import PreparedData
from envs_data.splits import random_stream, shuffle_within_splits, split_labels
from envs_data.writing import write_prepared

__all__ = ["OwnSettings", "write_own"]

_TITLE_CHARACTERS = 200  # of a text that replaces a missing title


@dataclass(frozen=True)
class OwnSettings:
    """Arguments of both kinds of source; a ``full_gain`` of ``None`` is the largest level."""

    full_gain: float | None
    graded: bool
    validation_share: float
    test_share: float
    pool_size: int
    seed: int
    demonstrations: str

    def check(self) -> None:
        """Raise ``DataError`` for an argument out of range."""
        check_pool_size(self.pool_size)
        check_kind(self.demonstrations)
        random_stream(self.seed, "documents")  # checks the seed
        if self.full_gain is not None and not (math.isfinite(self.full_gain) and self.full_gain > 0):
            raise DataError(f"full gain must be a finite number above 0; got {self.full_gain!r}")
        for share, name in ((self.validation_share, "validation share"), (self.test_share, "test share")):
            if not 0 <= share < 1:
                raise DataError(f"{name} must be a number from 0 to less than 1; got {share!r}")
        if self.validation_share + self.test_share >= 1:
            raise DataError("validation share and test share must sum to less than 1; the rest is for training")


def write_own(
    tables: OwnTables,
    out: Path,
    dataset: str,
    settings: OwnSettings,
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
    demonstrations, demonstration_counts = own_demonstrations(
        tables, queries, to_rank, documents, settings.demonstrations, settings.seed
    )
    asked = {name: value for name, value in asdict(settings).items() if name != "demonstrations"}
    kind = recorded_kind(settings.demonstrations)
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
        arguments={**asked, "full_gain": full_gain, "splits_drawn": list(drawn_splits), **others, **kind},
        sources={**tables.digests, **{name: file_sha256(path) for name, path in tables.files.items()}},
        counts={
            "documents": documents.height,
            "judgements": judgements.height,
            **tables.counts,
            **left_out,
            **count_long(queries["query"]),
            **pool_counts,
            "demonstrations": demonstrations.height,
            **demonstration_counts,
        },
    )


def _own_documents(queries: pl.DataFrame, documents: pl.DataFrame) -> pl.DataFrame:
    """``number`` and ``doc_row`` of each query that is a document itself, ascending by number."""
    rows = documents.select(query_id="doc_id", doc_row=pl.int_range(pl.len(), dtype=pl.Int64))
    return queries.join(rows, on="query_id").select("number", "doc_row").sort("number")


def _ordered_queries(
    judged_queries: pl.DataFrame, drawn_splits: tuple[str, ...], settings: OwnSettings, rng: np.random.Generator
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

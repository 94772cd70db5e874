"""Preparation of a search log: queries and judgements from what people did with an engine's rankings.

- **Judgements** are pairs of a query and a document that people acted on often enough. The gain is the level of the
  strongest action, by default 1 for a click, 2 for a basket and 3 for a purchase; full from 1 on. In a log of counts
  without actions it is the share of the largest count of the query.
- **Position bias**: with propensities, an action counts as often as it would have come at the first position (Joachims,
  Swaminathan and Schnabel 2017). They are given, or estimated from documents that were shown at several positions.
- **Splits** are drawn by query, or made by time: later queries are validation and test ones.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from envs_data.custom.log import LEVELS, read_log
from envs_data.custom.log_judgements import LogSettings, judge, weigh
from envs_data.custom.propensity import Propensity
from envs_data.custom.tables import OwnTables
from envs_data.custom.write import OwnSettings, write_own
from envs_data.layout import SPLITS
from envs_data.prepared import PreparedData
from envs_data.writing import check_replaceable

__all__ = ["prepare_log"]


def prepare_log(
    log: Path,
    documents: Path,
    out: Path,
    *,
    levels: Mapping[str, float] | None = None,
    minimum_support: float = 2.0,
    propensity: str | Sequence[float] | None = None,
    split: str = "query",
    columns: Mapping[str, str] | None = None,
    multiline: bool = False,
    demonstrations: str = "phrases",
    full_gain: float = 1.0,
    validation_share: float = 0.1,
    test_share: float = 0.1,
    pool_size: int = 100,
    seed: int = 0,
) -> PreparedData:
    """Make a prepared directory from a log, whose columns ``envs_data.custom.log`` lists, and its documents.

    Args:
        log: File of the log; like the documents Parquet, CSV, TSV or JSON Lines.
        documents: File of the documents, as for :func:`~envs_data.custom.prepare.prepare_tables`.
        out: Directory to write; an earlier prepared directory there is replaced.
        levels: Levels of actions beside :data:`~envs_data.custom.log.LEVELS`, or in their place.
        minimum_support: Least number of actions on a pair; weighted ones where there are propensities.
        propensity: ``None``; ``"estimate"``, from impressions and actions; or the propensities of positions, the first
            one's first.
        split: ``"query"``, splits are drawn by seed, or ``"time"``, of which the log needs a column.
        columns: Names of columns in the files, as for :func:`~envs_data.custom.prepare.prepare_tables`; the tables are
            ``log`` and ``documents``.
        multiline: Whether quoted fields of CSV files may hold line breaks.
        demonstrations: Kind of the demonstrations: ``"phrases"``, ``"expansions"`` or ``"associations"``.
        full_gain: Level from which the gain is 1; higher levels have gains above 1.
        validation_share: Share of validation queries, in [0, 1).
        test_share: Share of test queries, likewise.
        pool_size: As for :func:`~envs_data.custom.prepare.prepare_tables`.
        seed: Likewise.

    Returns:
        The data set as written.

    Raises:
        FileFaults: The files contain errors; up to 20 are listed.
        DataError: A file is missing, an argument is out of range, an action has no level, or nothing is left.
    """
    settings = OwnSettings(full_gain, True, validation_share, test_share, pool_size, seed, demonstrations)
    settings.check()
    of_log = LogSettings({**LEVELS, **(levels or {})}, minimum_support, propensity, split)
    of_log.check()
    log, documents = Path(log), Path(documents)
    check_replaceable(Path(out), log, documents)
    search_log = read_log(
        log,
        documents,
        levels=of_log.levels,
        columns=columns or {},
        positions=propensity is not None,
        times=split == "time",
        multiline=multiline,
    )
    events, estimate = weigh(search_log.events, propensity)
    judged, facts = judge(events, of_log, {"validation": validation_share, "test": test_share})
    queries = judged.select("query", "split").unique().sort("query")
    width = math.ceil(math.log10(queries.height + 1))
    numbers = pl.int_range(pl.len()).cast(pl.String).str.zfill(width)
    queries = queries.with_columns(query_id="q" + numbers, history=pl.lit([], dtype=pl.List(pl.String)))
    tables = OwnTables(
        search_log.documents.table("title", pl.lit("")).select("doc_id", "title", "text"),
        queries.select("query_id", "query", "split", "history"),
        judged.join(queries, on="query").select("query_id", "doc_id", "gain"),
        None,
        {"log": log, "documents": documents},
        {**search_log.counts, **{name: value for name, value in facts.items() if name != "splits_from"}},
    )
    others: dict[str, Any] = {
        "levels": dict(of_log.levels),
        "minimum_support": minimum_support,
        "propensity": propensity if isinstance(propensity, str | None) else list(propensity),
        "split": split,
        **({"columns": dict(columns)} if columns else {}),
        **({"splits_from": facts["splits_from"]} if split == "time" else {}),
        **({} if estimate is None else {"propensity_estimate": _as_json(estimate)}),
    }
    return write_own(tables, Path(out), "log", settings, () if split == "time" else SPLITS, others)


def _as_json(estimate: Propensity) -> dict[str, Any]:
    numbers = {"values": estimate.values, "errors": estimate.errors}
    rounded = {name: [None if math.isnan(x) else round(x, 6) for x in row.tolist()] for name, row in numbers.items()}
    return {**rounded, "pairs": estimate.pairs, "actions": estimate.actions, "unknown": list(estimate.unknown)}

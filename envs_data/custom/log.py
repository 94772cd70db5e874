"""Reader of a search log: who acted on which document, for which query; and the events in it that can be used.

| column | value |
|---|---|
| ``query`` | text that was typed; rows without one are counted and left out |
| ``doc_id`` | id of the document; likewise |
| ``action`` | name of what was done, such as ``click``; a row for each time, unless there is a count |
| ``count`` | number of times, at least 0; with it, actions may be missing |
| ``position`` | rank at which the document was shown, from 1; optional |
| ``time`` | date or number; optional |

Queries are compared in small letters, with white space as single spaces.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import polars as pl

from envs_data.custom.columns import rename_columns
from envs_data.custom.faults import Faults
from envs_data.custom.tables import TABLES, TableFile, note_blank, with_column
from envs_data.custom.values import Column, note_repeats
from envs_data.errors import DataError, one_line

__all__ = ["LEVELS", "SearchLog", "read_log"]

LEVELS: Mapping[str, float] = {
    "impression": 0.0,
    "click": 1.0,
    "basket": 2.0,
    "cart": 2.0,
    "add_to_cart": 2.0,
    "purchase": 3.0,
    "order": 3.0,
}
"""Levels of actions that need no name: 0 for what was only shown."""

_COLUMNS = (
    Column("query", "maybe"),
    Column("doc_id", "maybe"),
    Column("action", "maybe", required=False),
    Column("count", "number", required=False),
)
_POSITION, _TIME = Column("position", "rank"), Column("time", "time")
_LISTED = 5  # unknown actions that a message names


class SearchLog(NamedTuple):
    """A log, free of faults.

    Attributes:
        documents: File of the documents.
        events: ``query``, ``doc_id``, ``count``, and where they are known ``level``, ``position`` (0 for unknown) and
            ``time``: rows that name a query and a known document.
        counts: Numbers of rows, in all and left out.
    """

    documents: TableFile
    events: pl.DataFrame
    counts: dict[str, int]


def read_log(
    log: Path,
    documents: Path,
    *,
    levels: Mapping[str, float],
    columns: Mapping[str, str],
    positions: bool,
    times: bool,
    multiline: bool = False,
) -> SearchLog:
    """Read a log and its documents.

    Args:
        log: File of the log; like the documents Parquet, CSV, TSV or JSON Lines.
        documents: File of the documents.
        levels: Level of each action, whatever its capitals.
        columns: Names of columns, as :func:`~envs_data.custom.columns.rename_columns` takes them.
        positions: Whether positions are needed.
        times: Whether times are needed.
        multiline: Whether quoted fields of CSV files may hold line breaks.

    Raises:
        FileFaults: The files contain errors; up to 20 are listed.
        DataError: A file does not exist, an action has no level, or no row can be used.
    """
    wanted = [*_COLUMNS, *([_POSITION] if positions else []), *([_TIME] if times else [])]
    named = rename_columns({"log": wanted, "documents": TABLES["documents"]}, columns)
    faults = Faults()
    corpus = TableFile.read(documents, named["documents"], faults, multiline=multiline)
    rows = TableFile.read(log, named["log"], faults, multiline=multiline)
    if corpus.frame is not None:
        note_repeats(documents, corpus.frame, corpus.column("doc_id"), faults)
    note_blank(corpus, faults)
    if rows.frame is not None and not {"action", "count"} & set(rows.frame.columns):
        faults.note(log, "expected a column action or count, got neither")
    faults.check()
    events = rows.table("count", pl.lit(1.0)).drop("row")
    return _usable(log, corpus, _with_levels(log, events, levels) if "action" in events.columns else events)


_LEFT_OUT = {
    "log_rows_without_query": ("without a query", pl.col("query") == ""),
    "log_rows_without_document": ("without a document", pl.col("doc_id") == ""),
    "log_rows_without_action": ("without an action", pl.col("level").is_null()),
    "log_rows_of_unknown_documents": ("of documents that the documents file does not have", ~pl.col("known")),
}


def _usable(log: Path, corpus: TableFile, events: pl.DataFrame) -> SearchLog:
    """The events that name a query and a known document, in a log that has any action on one."""
    query = pl.col("query").str.to_lowercase().str.strip_chars().str.replace_all(r"\s+", " ")
    known = pl.col("doc_id").is_in(corpus.table()["doc_id"].implode())
    kept = with_column(events, "level", pl.lit(1.0)).with_columns(query, known=known)
    counts, words = {"log_rows": events.height}, {}
    for name, (words[name], wrong) in _LEFT_OUT.items():
        rest = kept.filter(~wrong)
        counts[name], kept = kept.height - rest.height, rest
    acted = kept.filter((pl.col("level") > 0) & (pl.col("count") > 0))
    counts["log_rows_shown_only"], words["log_rows_shown_only"] = kept.height - acted.height, "shown only"
    if acted.is_empty():
        listed = ", ".join(f"{counts[name]:,} {what}" for name, what in words.items() if counts[name])
        raise DataError(f"expected actions on documents in {log}; none of its {events.height:,} rows is one: {listed}")
    kept = kept.drop("known") if "action" in events.columns else kept.drop("known", "level")
    return SearchLog(corpus, kept, counts)


def _with_levels(log: Path, events: pl.DataFrame, levels: Mapping[str, float]) -> pl.DataFrame:
    """The events with their ``level``, null where there is no action."""
    known = {name.casefold(): float(level) for name, level in levels.items()}
    actions = events.with_columns(pl.col("action").str.strip_chars().str.to_lowercase())
    unknown = actions.filter(~pl.col("action").is_in([*known, ""]))["action"].value_counts(sort=True)
    if unknown.height:
        listed = ", ".join(
            f"{one_line(name, 40)!r} ({count:,} rows)" for name, count in unknown.head(_LISTED).iter_rows()
        )
        first = one_line(unknown["action"][0], 40)
        raise DataError(
            f"{log}: expected actions with a level; got {listed}: name their levels (--levels {first}=1, "
            f"0 for what was only shown); known: {', '.join(f'{name} {level:g}' for name, level in known.items())}"
        )
    return actions.with_columns(level=pl.col("action").replace_strict({**known, "": None}, return_dtype=pl.Float64))

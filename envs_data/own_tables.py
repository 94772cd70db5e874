"""A user's own corpus, queries and judgements, read from three or four tables and checked against each other.

| table | columns |
|---|---|
| documents | ``doc_id``, ``text``, and perhaps ``title``; one of the two must not be blank |
| queries | ``query_id``, ``query``, and perhaps ``split`` (train, validation or test) and ``history`` (earlier purchases, oldest first) |
| qrels | ``query_id``, ``doc_id``, and perhaps ``gain`` (a number of at least 0; 1 where the column is missing) |
| demonstrations | ``query_id``, ``text`` (an example rewrite) |

Other columns are ignored. ``envs_data.own_files`` says what a value may be, ``envs_data.faults`` how rows are counted.
"""  # noqa: E501 - a table

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from envs_data.errors import DataError
from envs_data.faults import Faults
from envs_data.own_files import Column, note_repeats, note_unknown, read_table

__all__ = ["OwnTables", "check_judgements", "join_judgements", "read_tables"]

_DOCUMENTS = (Column("doc_id", "id"), Column("title", "maybe", required=False), Column("text", "maybe"))
_QUERIES = (
    Column("query_id", "id"),
    Column("query", "text"),
    Column("split", "split", required=False),
    Column("history", "list", required=False),
)
_QRELS = (Column("query_id", "id"), Column("doc_id", "id"), Column("gain", "number", required=False))
_DEMONSTRATIONS = (Column("query_id", "id"), Column("text", "text"))


@dataclass(frozen=True)
class OwnTables:
    """Tables without faults.

    Attributes:
        documents: ``doc_id``, ``title``, ``text`` (the title not included).
        queries: ``query_id``, ``query``, ``split`` (null for one to be drawn), ``history``.
        qrels: ``query_id``, ``doc_id``, ``gain`` of at least 0; no pair twice.
        demonstrations: ``query_id``, ``text``; ``None`` if there is no such file.
        files: The files read, by what they are.
        counts: What was left out.
    """

    documents: pl.DataFrame
    queries: pl.DataFrame
    qrels: pl.DataFrame
    demonstrations: pl.DataFrame | None
    files: dict[str, Path]
    counts: dict[str, int] = field(default_factory=dict)


def read_tables(
    documents: Path,
    queries: Path,
    qrels: Path,
    demonstrations: Path | None = None,
    *,
    separator: str = "|",
    skip_unknown: bool = False,
) -> OwnTables:
    """Read and check the tables.

    Args:
        documents: The documents' file: Parquet, CSV, TSV or JSON Lines, as all of them.
        queries: The queries' file.
        qrels: The judgements' file.
        demonstrations: The file of example rewrites, if there is one.
        separator: Between the entries of a history that is written as a text.
        skip_unknown: Leave out judgements and demonstrations of unknown queries or documents, and count them;
            otherwise each is a fault.

    Raises:
        FileFaults: Something is wrong in the files; all of it is told, up to 20 faults.
        DataError: A file is not there, or its name ends in nothing known.
    """
    if not separator:
        raise DataError("expected a history separator of one character or more, got ''")
    faults = Faults()
    corpus = read_table(documents, _DOCUMENTS, faults)
    asked = read_table(queries, _QUERIES, faults, separator)
    judged = read_table(qrels, _QRELS, faults)
    shown = None if demonstrations is None else read_table(demonstrations, _DEMONSTRATIONS, faults)
    for path, frame, name in ((documents, corpus, "doc_id"), (queries, asked, "query_id")):
        if frame is not None:
            note_repeats(path, frame, name, name, faults)
    if corpus is not None:
        corpus = _with_column(corpus, "title", pl.lit(""))
        blank = corpus.filter((pl.col("title") == "") & (pl.col("text") == ""))
        faults.add(documents, "a text that is not blank, or a title", blank.select("row", got="text"), "text")
    if judged is not None:
        judged = _with_column(judged, "gain", pl.lit(1.0))
        check_judgements(qrels, judged, _QRELS, faults)
    known = {"query_id": (queries, asked), "doc_id": (documents, corpus)}
    if not skip_unknown:
        for path, frame, columns in ((qrels, judged, _QRELS[:2]), (demonstrations, shown, _DEMONSTRATIONS[:1])):
            for column in columns:
                where, table = known[column.name]
                if path is not None and frame is not None and table is not None:
                    note_unknown(path, frame, table[column.name], column, where, faults)
    faults.check()
    if corpus is None or asked is None or judged is None:
        raise AssertionError("a table that cannot be read is a fault")
    asked = _with_column(asked, "split", pl.lit(None, dtype=pl.String))
    asked = _with_column(asked, "history", pl.lit([], dtype=pl.List(pl.String)))
    kept, counts = join_judgements(judged, asked, corpus)
    if shown is not None:
        of_known = shown.join(asked, on="query_id", how="semi")
        counts["demonstrations_unknown"] = shown.height - of_known.height
        shown = of_known.select("query_id", "text")
    files = {"documents": documents, "queries": queries, "qrels": qrels}
    if demonstrations is not None:
        files["demonstrations"] = demonstrations
    return OwnTables(
        corpus.select("doc_id", "title", "text"),
        asked.select("query_id", "query", "split", "history"),
        kept,
        shown,
        files,
        counts,
    )


def check_judgements(path: Path, judged: pl.DataFrame, columns: Sequence[Column], faults: Faults) -> None:
    """Note judgements of one query and document that differ; equal ones are no fault."""
    pair = ["query_id", "doc_id"]
    first = judged.drop_nulls([*pair, "gain"]).with_columns(
        first=pl.col("row").min().over(pair), before=pl.col("gain").sort_by("row").first().over(pair)
    )
    also = pl.format(" where row {} has {}", "first", "before")
    other = first.filter(pl.col("gain") != pl.col("before")).select("row", also.alias("also"), got="gain")
    called = next(column.called for column in columns if column.name == "gain")
    faults.add(path, "one gain of a query and document", other, called)


def join_judgements(
    judged: pl.DataFrame, queries: pl.DataFrame, documents: pl.DataFrame
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Judgements of known queries and documents, each once, and how many were left out."""
    once = judged.sort("row").unique(["query_id", "doc_id"], keep="first", maintain_order=True)
    asked = once.join(queries, on="query_id", how="semi")
    known = asked.join(documents, on="doc_id", how="semi")
    return known.select("query_id", "doc_id", "gain"), {
        "judgements_repeated": judged.height - once.height,
        "judgements_without_query": once.height - asked.height,
        "judgements_without_document": asked.height - known.height,
    }


def _with_column(frame: pl.DataFrame, name: str, otherwise: pl.Expr) -> pl.DataFrame:
    """The table, with the column if it lacks it."""
    return frame if name in frame.columns else frame.with_columns(otherwise.alias(name))

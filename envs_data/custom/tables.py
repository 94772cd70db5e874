"""A user's own corpus, queries and judgements, read from three or four tables and checked against each other.

| table | columns |
|---|---|
| documents | ``doc_id``, ``text``, and perhaps ``title``; one of the two must not be blank |
| queries | ``query_id``, ``query``, and perhaps ``split`` (train, validation or test) and ``history`` (earlier purchases, oldest first) |
| qrels | ``query_id``, ``doc_id``, and perhaps ``gain`` (a number of at least 0; 1 where the column is missing) |
| demonstrations | ``query_id``, ``text`` (an example rewrite) |

Other columns are ignored. ``envs_data.custom.values`` says what a value may be, ``envs_data.custom.faults`` how rows are counted.
"""  # noqa: E501 - a table

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import polars as pl

from envs_data.custom.faults import Faults
from envs_data.custom.values import Column, note_repeats, note_unknown, read_table
from envs_data.errors import DataError

__all__ = ["OwnTables", "TableFile", "check_ids", "join_judgements", "read_tables", "with_column"]

_DOCUMENTS = (Column("doc_id", "id"), Column("title", "maybe", required=False), Column("text", "maybe"))
_QUERIES = (
    Column("query_id", "id"),
    Column("query", "text"),
    Column("split", "split", required=False),
    Column("history", "list", required=False),
)
_QRELS = (Column("query_id", "id"), Column("doc_id", "id"), Column("gain", "number", required=False))
_DEMONSTRATIONS = (Column("query_id", "id"), Column("text", "text"))


class TableFile(NamedTuple):
    """A file that was read.

    Attributes:
        path: Where it is.
        columns: What it may hold.
        frame: ``row`` and the columns it holds; ``None`` if a fault says why there is none.
    """

    path: Path
    columns: Sequence[Column]
    frame: pl.DataFrame | None

    @classmethod
    def read(cls, path: Path, columns: Sequence[Column], faults: Faults, separator: str = "|") -> "TableFile":
        """Read it, as :func:`~envs_data.custom.values.read_table` does."""
        return cls(path, columns, read_table(path, columns, faults, separator))

    def column(self, name: str) -> Column:
        """A column by its name here."""
        return next(column for column in self.columns if column.name == name)

    def table(self, column: str | None = None, otherwise: pl.Expr | None = None) -> pl.DataFrame:
        """The rows of a file without faults, with a column more if it lacks that."""
        if self.frame is None:
            raise AssertionError(f"{self.path} has no table, which is a fault")
        return self.frame if column is None or otherwise is None else with_column(self.frame, column, otherwise)


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
    corpus = TableFile.read(documents, _DOCUMENTS, faults)
    asked = TableFile.read(queries, _QUERIES, faults, separator)
    judged = TableFile.read(qrels, _QRELS, faults)
    shown = None if demonstrations is None else TableFile.read(demonstrations, _DEMONSTRATIONS, faults)
    _note_blank(corpus, faults)
    check_ids(corpus, asked, [judged], [] if shown is None else [shown], faults, skip_unknown=skip_unknown)
    faults.check()
    kept, counts = join_judgements(judged.table("gain", pl.lit(1.0)), asked.table(), corpus.table())
    files = {"documents": documents, "queries": queries, "qrels": qrels}
    examples = None
    if demonstrations is not None and shown is not None:
        files["demonstrations"] = demonstrations
        examples = shown.table().join(asked.table(), on="query_id", how="semi").select("query_id", "text")
        counts["demonstrations_without_query"] = shown.table().height - examples.height
    split, history = pl.lit(None, dtype=pl.String), pl.lit([], dtype=pl.List(pl.String))
    return OwnTables(
        corpus.table("title", pl.lit("")).select("doc_id", "title", "text"),
        with_column(asked.table("split", split), "history", history).select("query_id", "query", "split", "history"),
        kept,
        examples,
        files,
        counts,
    )


def check_ids(
    documents: TableFile,
    queries: TableFile,
    judged: Sequence[TableFile],
    others: Sequence[TableFile],
    faults: Faults,
    *,
    skip_unknown: bool,
) -> None:
    """Note ids that come twice, judgements that differ and, unless they are skipped, ids that name nothing.

    Args:
        documents: The documents, with ``doc_id``.
        queries: The queries, with ``query_id``.
        judged: Files of judgements, with both.
        others: Further files that name queries.
        faults: Gets what is wrong.
        skip_unknown: Whether ids that name nothing are no fault.
    """
    for owner, name in ((documents, "doc_id"), (queries, "query_id")):
        if owner.frame is not None:
            note_repeats(owner.path, owner.frame, owner.column(name), faults)
    for table in judged:
        _note_differing(table, faults)
    for table in () if skip_unknown else (*judged, *others):
        for owner, name in ((queries, "query_id"), (documents, "doc_id")):
            if table.frame is not None and owner.frame is not None and name in table.frame.columns:
                note_unknown(table.path, table.frame, table.column(name), owner.frame, owner.path.name, faults)


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


def with_column(frame: pl.DataFrame, name: str, otherwise: pl.Expr) -> pl.DataFrame:
    """The table, with the column if it lacks it."""
    return frame if name in frame.columns else frame.with_columns(otherwise.alias(name))


def _note_blank(corpus: TableFile, faults: Faults) -> None:
    if corpus.frame is None:
        return
    blank = with_column(corpus.frame, "title", pl.lit("")).filter((pl.col("title") == "") & (pl.col("text") == ""))
    faults.add(corpus.path, "a text that is not blank, or a title", blank.select("row", got="text"), "text")


def _note_differing(judged: TableFile, faults: Faults) -> None:
    """Note judgements of one query and document that differ; equal ones are no fault."""
    if judged.frame is None or "gain" not in judged.frame.columns:
        return
    pair = ["query_id", "doc_id"]
    first = judged.frame.drop_nulls([*pair, "gain"]).with_columns(
        first=pl.col("row").min().over(pair), before=pl.col("gain").sort_by("row").first().over(pair)
    )
    also = pl.format(" where row {} has {}", "first", "before").alias("also")
    other = first.filter(pl.col("gain") != pl.col("before")).select("row", also, got="gain")
    faults.add(judged.path, "one gain of a query and document", other, judged.column("gain").called)

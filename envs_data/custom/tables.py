"""Reader of a user's corpus, queries and judgements: three or four tables, checked against each other.

| table | columns |
|---|---|
| documents | ``doc_id``, ``text``, optional ``title``; one of the two must not be blank |
| queries | ``query_id``, ``query``, optional ``split`` (train, validation or test) and ``history`` (earlier purchases, oldest first) |
| qrels | ``query_id``, ``doc_id``, optional ``gain`` (a number of at least 0; 1 if there is no such column) |
| demonstrations | ``query_id``, ``text`` (an example rewrite) |

Other columns are ignored. ``envs_data.custom.values`` describes valid values, ``envs_data.custom.faults`` the counting of rows.
"""  # noqa: E501 - a table

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import polars as pl

from envs_data.custom.columns import rename_columns
from envs_data.custom.faults import Faults
from envs_data.custom.values import Column, note_repeats, note_unknown, read_table
from envs_data.errors import DataError

__all__ = [
    "TABLES",
    "OwnTables",
    "TableFile",
    "check_ids",
    "join_judgements",
    "note_blank",
    "read_tables",
    "with_column",
]

_DOCUMENTS = (Column("doc_id", "id"), Column("title", "maybe", required=False), Column("text", "maybe"))
_QUERIES = (
    Column("query_id", "id"),
    Column("query", "text"),
    Column("split", "split", required=False),
    Column("history", "list", required=False),
)
_QRELS = (Column("query_id", "id"), Column("doc_id", "id"), Column("gain", "number", required=False))
_DEMONSTRATIONS = (Column("query_id", "id"), Column("text", "text"))
TABLES: Mapping[str, Sequence[Column]] = {
    "documents": _DOCUMENTS,
    "queries": _QUERIES,
    "qrels": _QRELS,
    "demonstrations": _DEMONSTRATIONS,
}
"""Columns of each table."""


class TableFile(NamedTuple):
    """A file and its table.

    Attributes:
        path: Path of the file.
        columns: Columns that the file may have.
        frame: ``row`` and the columns that the file has; ``None`` if a fault was noted instead.
    """

    path: Path
    columns: Sequence[Column]
    frame: pl.DataFrame | None

    @classmethod
    def read(
        cls, path: Path, columns: Sequence[Column], faults: Faults, separator: str = "|", *, multiline: bool = False
    ) -> "TableFile":
        """Read a file by :func:`~envs_data.custom.values.read_table`."""
        return cls(path, columns, read_table(path, columns, faults, separator, multiline=multiline))

    def column(self, name: str) -> Column:
        """Column of a name used here."""
        return next(column for column in self.columns if column.name == name)

    def table(self, column: str | None = None, otherwise: pl.Expr | None = None) -> pl.DataFrame:
        """Table of a file without faults; a missing ``column`` is added with the value ``otherwise``."""
        if self.frame is None:
            raise AssertionError(f"{self.path} has no table, which is a fault")
        return self.frame if column is None or otherwise is None else with_column(self.frame, column, otherwise)


@dataclass(frozen=True)
class OwnTables:
    """A user's tables, free of faults.

    Attributes:
        documents: ``doc_id``, ``title``, ``text`` (without the title).
        queries: ``query_id``, ``query``, ``split`` (null if it is to be drawn), ``history``.
        qrels: ``query_id``, ``doc_id``, ``gain`` of at least 0; no pair twice.
        demonstrations: ``query_id``, ``text``; ``None`` if there is no such file.
        files: Path of each file by its role.
        counts: Numbers of rows left out.
        identical_ids: Whether a document with the id of a query is that query itself, to be ranked for others only.
        digests: Digest of each source that is no file, by its name.
    """

    documents: pl.DataFrame
    queries: pl.DataFrame
    qrels: pl.DataFrame
    demonstrations: pl.DataFrame | None
    files: dict[str, Path]
    counts: dict[str, int] = field(default_factory=dict)
    identical_ids: bool = False
    digests: dict[str, str] = field(default_factory=dict)


def read_tables(
    documents: Path,
    queries: Path,
    qrels: Path,
    demonstrations: Path | None = None,
    *,
    separator: str = "|",
    multiline: bool = False,
    skip_unknown: bool = False,
    columns: Mapping[str, str] | None = None,
) -> OwnTables:
    """Read and check the tables.

    Args:
        documents: File of the documents; like the others Parquet, CSV, TSV or JSON Lines.
        queries: File of the queries.
        qrels: File of the judgements.
        demonstrations: File of example rewrites, if there is one.
        separator: Text between the entries of a history that is written as one text.
        multiline: Whether quoted fields of CSV files may hold line breaks.
        skip_unknown: Whether judgements and demonstrations of unknown queries or documents are left out and counted;
            otherwise each is a fault.
        columns: Names of columns in the files, as :func:`~envs_data.custom.columns.rename_columns` takes them.

    Raises:
        FileFaults: The files contain errors; up to 20 are listed.
        DataError: A file does not exist, its name has an unknown ending, or a column is unknown.
    """
    if not separator:
        raise DataError("expected a history separator of one character or more, got ''")
    faults = Faults()
    read = partial(TableFile.read, faults=faults, separator=separator, multiline=multiline)
    given = [name for name in TABLES if name != "demonstrations" or demonstrations is not None]
    named = rename_columns({name: TABLES[name] for name in given}, columns or {})
    paths = {"documents": documents, "queries": queries, "qrels": qrels}
    corpus, query_file, qrels_file = (read(path, named[name]) for name, path in paths.items())
    example_file = None if demonstrations is None else read(demonstrations, named["demonstrations"])
    note_blank(corpus, faults)
    others = [] if example_file is None else [example_file]
    check_ids(corpus, query_file, [qrels_file], others, faults, skip_unknown=skip_unknown)
    faults.check()
    judgements, counts = join_judgements(qrels_file.table("gain", pl.lit(1.0)), query_file.table(), corpus.table())
    examples = None
    if demonstrations is not None and example_file is not None:
        paths["demonstrations"] = demonstrations
        rows = example_file.table()
        examples = rows.join(query_file.table(), on="query_id", how="semi").select("query_id", "text")
        counts["demonstrations_without_query"] = rows.height - examples.height
    split, history = pl.lit(None, dtype=pl.String), pl.lit([], dtype=pl.List(pl.String))
    return OwnTables(
        corpus.table("title", pl.lit("")).select("doc_id", "title", "text"),
        with_column(query_file.table("split", split), "history", history).select(
            "query_id", "query", "split", "history"
        ),
        judgements,
        examples,
        paths,
        counts,
    )


def check_ids(
    documents: TableFile,
    queries: TableFile,
    qrels: Sequence[TableFile],
    others: Sequence[TableFile],
    faults: Faults,
    *,
    skip_unknown: bool,
) -> None:
    """Note repeated ids, judgements that contradict each other and, unless they are skipped, unknown ids.

    Args:
        documents: File of the documents, with ``doc_id``.
        queries: File of the queries, with ``query_id``.
        qrels: Files of judgements, with both.
        others: Further files with ``query_id``.
        faults: Collects the faults.
        skip_unknown: Whether unknown ids are no fault.
    """
    for owner, name in ((documents, "doc_id"), (queries, "query_id")):
        if owner.frame is not None:
            note_repeats(owner.path, owner.frame, owner.column(name), faults)
    for table in qrels:
        _note_differing(table, faults)
    for table in () if skip_unknown else (*qrels, *others):
        for owner, name in ((queries, "query_id"), (documents, "doc_id")):
            if table.frame is not None and owner.frame is not None and name in table.frame.columns:
                note_unknown(table.path, table.frame, table.column(name), owner.frame, owner.path.name, faults)


def join_judgements(
    qrels: pl.DataFrame, queries: pl.DataFrame, documents: pl.DataFrame
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Judgements of known queries and documents, each pair once, and the numbers of those left out."""
    once = qrels.sort("row").unique(["query_id", "doc_id"], keep="first", maintain_order=True)
    with_query = once.join(queries, on="query_id", how="semi")
    with_both = with_query.join(documents, on="doc_id", how="semi")
    return with_both.select("query_id", "doc_id", "gain"), {
        "judgements_repeated": qrels.height - once.height,
        "judgements_without_query": once.height - with_query.height,
        "judgements_without_document": with_query.height - with_both.height,
    }


def with_column(frame: pl.DataFrame, name: str, otherwise: pl.Expr) -> pl.DataFrame:
    """The table; if the column is missing, it is added with the value ``otherwise``."""
    return frame if name in frame.columns else frame.with_columns(otherwise.alias(name))


def note_blank(corpus: TableFile, faults: Faults) -> None:
    """Note each document that has neither a title nor a text."""
    if corpus.frame is None:
        return
    blank = with_column(corpus.frame, "title", pl.lit("")).filter((pl.col("title") == "") & (pl.col("text") == ""))
    faults.add(
        corpus.path,
        "a text that is not blank, or a title",
        blank.select("row", got="text"),
        corpus.column("text").file_name,
    )


def _note_differing(qrels: TableFile, faults: Faults) -> None:
    """Note different judgements of one query and document; equal ones are no fault."""
    if qrels.frame is None or "gain" not in qrels.frame.columns:
        return
    pair = ["query_id", "doc_id"]
    first = qrels.frame.drop_nulls([*pair, "gain"]).with_columns(
        first=pl.col("row").min().over(pair), before=pl.col("gain").sort_by("row").first().over(pair)
    )
    also = pl.format(" where row {} has {}", "first", "before").alias("also")
    contradictions = first.filter(pl.col("gain") != pl.col("before")).select("row", also, got="gain")
    faults.add(qrels.path, "one gain of a query and document", contradictions, qrels.column("gain").file_name)

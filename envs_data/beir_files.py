"""A data set in the layout of BEIR: ``corpus.jsonl``, ``queries.jsonl`` and ``qrels/train.tsv, dev.tsv, test.tsv``.

Source of the layout: Thakur et al. 2021, "BEIR: A Heterogenous Benchmark for Zero-shot Evaluation of Information
Retrieval Models", arXiv 2104.08663.
"""

from pathlib import Path

import polars as pl

from envs_data.errors import DataError
from envs_data.faults import Faults
from envs_data.own_files import Column, note_repeats, note_unknown, read_table
from envs_data.own_tables import OwnTables, check_judgements, join_judgements

__all__ = ["SPLIT_FILES", "read_beir"]

SPLIT_FILES = {"train.tsv": "train", "dev.tsv": "validation", "test.tsv": "test"}
"""What the queries of each file of judgements are for."""

_CORPUS = (
    Column("doc_id", "id", source="_id"),
    Column("title", "maybe", required=False),
    Column("text", "maybe", required=False),
)
_QUERIES = (Column("query_id", "id", source="_id"), Column("query", "text", source="text"))
_QRELS = (
    Column("query_id", "id", source="query-id"),
    Column("doc_id", "id", source="corpus-id"),
    Column("gain", "number", source="score"),
)


def read_beir(source: Path, *, skip_unknown: bool = False) -> OwnTables:
    """Read and check a directory.

    A document of neither title nor text is kept, as several published data sets have some; it is never found.

    Args:
        source: The directory; each file may be gzipped (``.gz``).
        skip_unknown: Leave out judgements of unknown queries or documents, and count them; otherwise each is a fault.

    Returns:
        The tables; a query's split is that of the file that judges it.

    Raises:
        FileFaults: Something is wrong in the files; all of it is told, up to 20 faults.
        DataError: A file is not there.
    """
    source = Path(source)
    if not source.is_dir():
        what = "is a file" if source.exists() else "does not exist"
        raise DataError(f"expected a directory in the layout of BEIR at {source}, but it {what}; check --source")
    corpus_file, queries_file = _find(source, "corpus.jsonl"), _find(source, "queries.jsonl")
    qrels_files = _find_qrels(source / "qrels")
    faults = Faults()
    corpus = read_table(corpus_file, _CORPUS, faults)
    queries = read_table(queries_file, _QUERIES, faults)
    for path, frame, column in ((corpus_file, corpus, _CORPUS[0]), (queries_file, queries, _QUERIES[0])):
        if frame is not None:
            note_repeats(path, frame, column.name, column.called, faults)
    tables = {name: read_table(path, _QRELS, faults) for name, path in qrels_files.items()}
    judged = {name: table.with_columns(file=pl.lit(name)) for name, table in tables.items() if table is not None}
    for name, table in judged.items():
        check_judgements(qrels_files[name], table, _QRELS, faults)
        known = ((queries_file, queries, _QRELS[0]), (corpus_file, corpus, _QRELS[1]))
        for where, frame, column in known:
            if frame is not None and not skip_unknown:
                note_unknown(qrels_files[name], table, frame[column.name], column, where, faults)
    _note_other_split(qrels_files, judged, faults)
    faults.check()
    if corpus is None or queries is None:
        raise AssertionError("a table that cannot be read is a fault")
    all_judged = pl.concat(judged.values())
    kept, counts = join_judgements(all_judged, queries, corpus)
    split = all_judged.unique("query_id", keep="first", maintain_order=True)
    split = split.select("query_id", split=pl.col("file").replace_strict(SPLIT_FILES, return_dtype=pl.String))
    texts = [pl.col(name) if name in corpus.columns else pl.lit("").alias(name) for name in ("title", "text")]
    documents = corpus.select("doc_id", *texts)
    counts["documents_blank"] = documents.filter((pl.col("title") == "") & (pl.col("text") == "")).height
    return OwnTables(
        documents,
        queries.join(split, on="query_id", how="left", maintain_order="left").select(
            "query_id", "query", "split", history=pl.lit([], dtype=pl.List(pl.String))
        ),
        kept,
        None,
        {"corpus": corpus_file, "queries": queries_file, **{f"qrels/{name}": path for name, path in qrels_files.items()}},
        counts,
    )


def _note_other_split(files: dict[str, Path], judged: dict[str, pl.DataFrame], faults: Faults) -> None:
    """Note each query that an earlier file judges too, at its first row."""
    seen = pl.DataFrame(schema={"query_id": pl.String, "also": pl.String})
    for name, table in judged.items():
        firsts = table.drop_nulls("query_id").group_by("query_id").agg(pl.col("row").min())
        again = firsts.join(seen, on="query_id").select("row", "also", got="query_id")
        faults.add(files[name], "a query of one split", again, _QRELS[0].called)
        also = pl.format(", which qrels/{} judges in row {}", pl.lit(name), "row").alias("also")
        seen = pl.concat([seen, firsts.select("query_id", also)])


def _find(directory: Path, name: str) -> Path:
    for path in (directory / name, directory / f"{name}.gz"):
        if path.is_file():
            return path
    raise DataError(f"expected the file {name} in {directory}; check --source")


def _find_qrels(directory: Path) -> dict[str, Path]:
    found = {name: path for name in SPLIT_FILES for path in (directory / name, directory / f"{name}.gz") if path.is_file()}
    if not found:
        raise DataError(f"expected judgements in {directory}, named {', '.join(SPLIT_FILES)}; there are none of these")
    return found

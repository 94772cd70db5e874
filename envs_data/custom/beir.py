"""Reader of the layout of BEIR: ``corpus.jsonl``, ``queries.jsonl`` and ``qrels/train.tsv, dev.tsv, test.tsv``.

Source of the layout: Thakur et al. 2021, "BEIR: A Heterogenous Benchmark for Zero-shot Evaluation of Information
Retrieval Models", arXiv 2104.08663.
"""

from pathlib import Path

import polars as pl

from envs_data.custom.faults import Faults
from envs_data.custom.tables import OwnTables, TableFile, check_ids, join_judgements, with_column
from envs_data.custom.values import Column
from envs_data.errors import DataError
from envs_data.layout import SPLITS

__all__ = ["SPLIT_FILES", "read_beir"]

SPLIT_FILES = {
    "train.tsv": "train",
    **dict.fromkeys(("dev.tsv", "val.tsv", "valid.tsv", "validation.tsv"), "validation"),
    "test.tsv": "test",
}
"""Split of the queries of each file of judgements, whatever the capitals of its name."""

_NO_JUDGEMENTS = (".md", ".json", ".yaml", ".yml", ".py", ".sh", ".ipynb", ".license")

_CORPUS = (
    Column("doc_id", "id", sources=("_id",)),
    Column("title", "maybe", required=False),
    Column("text", "maybe", required=False),
)
_QUERIES = (Column("query_id", "id", sources=("_id",)), Column("query", "text", sources=("text",)))
_QRELS = (
    Column("query_id", "id", sources=("query-id",)),
    Column("doc_id", "id", sources=("corpus-id",)),
    Column("gain", "grade", sources=("score",)),
)


def read_beir(source: Path, *, skip_unknown: bool = False) -> OwnTables:
    """Read and check a directory.

    A document without title and text is kept, since several published data sets have some; no query matches it. A
    judgement below 0, as several have too, counts as 0. A document with the id of a query is that query itself, as in
    the published evaluation of these data sets.

    Args:
        source: The directory; each file may be gzipped (``.gz``).
        skip_unknown: Leave out judgements of unknown queries or documents, and count them; otherwise each is a fault.

    Returns:
        The tables; a query has the split of the file that judges it.

    Raises:
        FileFaults: The files contain errors; up to 20 are listed.
        DataError: A file does not exist, or one of ``qrels`` has another name.
    """
    source = Path(source)
    if not source.is_dir():
        what = "is a file" if source.exists() else "does not exist"
        raise DataError(
            f"expected a directory in the layout of BEIR at {source}, but it {what}; check source (--source)"
        )
    corpus_path, queries_path = _find(source, "corpus.jsonl"), _find(source, "queries.jsonl")
    qrels_paths = _find_qrels(source / "qrels")
    faults = Faults()
    corpus = TableFile.read(corpus_path, _CORPUS, faults)
    queries = TableFile.read(queries_path, _QUERIES, faults)
    qrels = {name: TableFile.read(path, _QRELS, faults) for name, path in qrels_paths.items()}
    check_ids(corpus, queries, list(qrels.values()), [], faults, skip_unknown=skip_unknown)
    _note_other_split(qrels, faults)
    faults.check()
    splits_of = {name: SPLIT_FILES[name.lower()] for name in qrels}
    rows = pl.concat(file.table().with_columns(split=pl.lit(splits_of[name])) for name, file in qrels.items())
    judgements, counts = join_judgements(rows, queries.table(), corpus.table())
    counts["judgements_negative"] = judgements.filter(pl.col("gain") < 0).height
    judgements = judgements.with_columns(pl.col("gain").clip(lower_bound=0.0))
    splits = rows.select("query_id", "split").unique("query_id", keep="first", maintain_order=True)
    documents = with_column(corpus.table("title", pl.lit("")), "text", pl.lit("")).select("doc_id", "title", "text")
    counts["documents_blank"] = documents.filter((pl.col("title") == "") & (pl.col("text") == "")).height
    history = pl.lit([], dtype=pl.List(pl.String))
    files = {"corpus": corpus_path, "queries": queries_path}
    files |= {f"qrels/{name}": path for name, path in qrels_paths.items()}
    return OwnTables(
        documents,
        queries.table().join(splits, on="query_id", how="left").select("query_id", "query", "split", history=history),
        judgements,
        None,
        files,
        counts,
        identical_ids=True,
    )


def _note_other_split(qrels: dict[str, TableFile], faults: Faults) -> None:
    """Note each query that an earlier file judges too, at its first row."""
    earlier = pl.DataFrame(schema={"query_id": pl.String, "also": pl.String})
    for name, file in qrels.items():
        if file.frame is None:
            continue
        firsts = file.frame.drop_nulls("query_id").group_by("query_id").agg(pl.col("row").min())
        repeats = firsts.join(earlier, on="query_id").select("row", "also", got="query_id")
        faults.add(file.path, "a query of one split", repeats, file.column("query_id").file_name)
        also = pl.format(", which qrels/{} judges in row {}", pl.lit(name), "row").alias("also")
        earlier = pl.concat([earlier, firsts.join(earlier, on="query_id", how="anti").select("query_id", also)])


def _find(directory: Path, name: str) -> Path:
    for path in (directory / name, directory / f"{name}.gz"):
        if path.is_file():
            return path
    raise DataError(f"expected the file {name} in {directory}; check source (--source)")


def _find_qrels(directory: Path) -> dict[str, Path]:
    """Files of judgements by name, without the ending ``.gz``; in the order of the splits.

    Raises:
        DataError: There is none, two are of one split, or a file of another name may hold judgements too.
    """
    entries = sorted(directory.iterdir()) if directory.is_dir() else []
    candidates = [path for path in entries if not (path.name.startswith(".") or path.suffix.lower() in _NO_JUDGEMENTS)]
    names = "train.tsv, dev.tsv or validation.tsv, test.tsv"
    paths: dict[str, Path] = {}
    for path in candidates:
        name = path.name.removesuffix(".gz")
        if name.lower() not in SPLIT_FILES or not path.is_file():
            raise DataError(f"expected files of {directory} named {names}; got {path.name!r}: rename or move it")
        if name not in paths or path.suffix != ".gz":  # the same file, packed and unpacked
            paths[name] = path
    if not paths:
        raise DataError(f"expected judgements in {directory}, named {names}; there are none of these")
    for split in SPLITS:
        twins = [name for name in paths if SPLIT_FILES[name.lower()] == split]
        if len(twins) > 1:
            raise DataError(f"expected one file of {split} judgements in {directory}, got {' and '.join(twins)}")
    return dict(sorted(paths.items(), key=lambda item: SPLITS.index(SPLIT_FILES[item[0].lower()])))

"""Reader of data sets of the library ir_datasets (MacAvaney et al. 2021, arXiv 2103.02280)."""

import difflib
from collections.abc import Iterable
from typing import Any

import polars as pl

from envs_data.custom.tables import OwnTables
from envs_data.documents import corpus_digest
from envs_data.errors import DataError, one_line

__all__ = ["SPLIT_NAMES", "read_irds"]

SPLIT_NAMES = {"train": "train", **dict.fromkeys(("dev", "val", "valid", "validation"), "validation"), "test": "test"}
"""Split of the queries of a subset, by the last part of its name."""

_TEXTS = ("text", "body")  # fields of a document beside its title


def read_irds(name: str) -> OwnTables:
    """Read a data set, or all of its splits.

    A document's title is its field ``title``, and its text ``text`` or ``body``, or else all that the library takes for
    the text. Of several judgements of a pair the highest counts; one below 0 counts as 0. In the layout of BEIR a
    document with the id of a query is that query itself.

    Args:
        name: Name in ir_datasets: of a subset with judgements (``beir/nfcorpus/test``), or one with such subsets
            (``beir/nfcorpus``), whose splits are kept; several, separated by commas.

    Raises:
        DataError: There is no such data set, it has no judgements, or it cannot be read.
        ModuleNotFoundError: ir_datasets is not installed.
    """
    import ir_datasets

    subsets = [subset for part in name.split(",") for subset in _subsets(part.strip())]
    queries, qrels = [], []
    try:
        documents = _documents(ir_datasets.load(subsets[0]).docs_iter())
        for subset in subsets:
            data, split = ir_datasets.load(subset), SPLIT_NAMES.get(subset.rpartition("/")[2])
            queries += [(row.query_id, row.default_text(), split) for row in data.queries_iter()]
            qrels += [(row.query_id, row.doc_id, float(row.relevance)) for row in data.qrels_iter()]
    except (OSError, RuntimeError, ValueError) as error:
        raise DataError(f"cannot read {name} of ir_datasets: {one_line(error)}") from error
    columns: dict[str, Any] = {"query_id": pl.String, "query": pl.String, "split": pl.String}
    asked = pl.DataFrame(queries, columns, orient="row").unique("query_id", keep="first", maintain_order=True)
    judged = pl.DataFrame(qrels, {"query_id": pl.String, "doc_id": pl.String, "gain": pl.Float64}, orient="row")
    return _checked(name, documents, asked, judged)


def _subsets(name: str) -> list[str]:
    """Names of the subsets with judgements that a name stands for."""
    import ir_datasets

    known = list(ir_datasets.registry)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise DataError(f"expected the name of a data set of ir_datasets (https://ir-datasets.com), got {name!r}{hint}")
    below = [f"{name}/{split}" for split in SPLIT_NAMES]
    subsets = [name] if _is_judged(name) else [subset for subset in below if subset in known and _is_judged(subset)]
    if not subsets:
        others = [other for other in known if other.startswith(f"{name}/") and _is_judged(other)]
        hint = f"; it has {', '.join(others[:5])}" if others else ""
        raise DataError(f"expected a data set of ir_datasets with judgements, but {name} has none{hint}")
    return subsets


def _is_judged(name: str) -> bool:
    import ir_datasets

    data = ir_datasets.load(name)
    return bool(data.has_docs() and data.has_queries() and data.has_qrels())


def _documents(rows: Iterable[Any]) -> pl.DataFrame:
    values = []
    for row in rows:
        title = getattr(row, "title", "") or ""
        text = next((getattr(row, field) for field in _TEXTS if hasattr(row, field)), None)
        values.append((row.doc_id, title, row.default_text().removeprefix(title).strip() if text is None else text))
    return pl.DataFrame(values, dict.fromkeys(("doc_id", "title", "text"), pl.String), orient="row")


def _checked(name: str, documents: pl.DataFrame, queries: pl.DataFrame, qrels: pl.DataFrame) -> OwnTables:
    """The tables, with judgements of known queries and documents, each pair once."""
    once = qrels.group_by("query_id", "doc_id").agg(pl.col("gain").max()).sort("query_id", "doc_id")
    with_query = once.join(queries, on="query_id", how="semi")
    judged = with_query.join(documents, on="doc_id", how="semi")
    known = {"documents": documents, "queries": queries, "qrels": once}
    return OwnTables(
        documents,
        queries.with_columns(history=pl.lit([], dtype=pl.List(pl.String))),
        judged.with_columns(pl.col("gain").clip(lower_bound=0.0)),
        None,
        {},
        {
            "judgements_repeated": qrels.height - once.height,
            "judgements_without_query": once.height - with_query.height,
            "judgements_without_document": with_query.height - judged.height,
            "judgements_negative": judged.filter(pl.col("gain") < 0).height,
            "documents_blank": documents.filter((pl.col("title") == "") & (pl.col("text") == "")).height,
        },
        identical_ids=all(part.strip().startswith("beir/") for part in name.split(",")),
        digests={f"irds:{name}/{table}": _digest(frame) for table, frame in known.items()},
    )


def _digest(frame: pl.DataFrame) -> str:
    return corpus_digest(corpus_digest(str(value) for value in column) for column in frame.iter_columns())

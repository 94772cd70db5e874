"""Free queries, which have no judgements: the target of a rewrite's phrases is the top of its own ranking.

Credit then says which phrase caused the ranking. It says nothing about quality.
"""

import dataclasses
from collections.abc import Sequence

import polars as pl

from envs_data import PreparedData
from ospo_env.errors import TaskError
from ospo_env.task import RetrievalTask

__all__ = ["CAUSE", "DEPTH", "FreeTask", "free_prompts", "open_free_task"]

DEPTH = 10
"""Documents of a ranking that are its target."""

CAUSE = (
    f"A free query has no judgements: worth is the share of the first {DEPTH} documents of the whole rewrite's ranking "
    "that a text finds, so that the whole is worth 1. Credit says which phrase causes the ranking; it says nothing "
    "about quality."
)
"""Meaning of credit in such a task, for a reader."""


@dataclasses.dataclass(frozen=True)
class FreeTask:
    """A task of free queries.

    Attributes:
        task: The task; each rewrite is worth 1 in it, by any metric.
        prompt_ids: B ids, one for each pair of a query and its rewrite that was asked for and matches a document.
        places: Places of these pairs among those that were asked for.
    """

    task: RetrievalTask
    prompt_ids: tuple[str, ...]
    places: tuple[int, ...]


def open_free_task(task: RetrievalTask, queries: Sequence[str], rewrites: Sequence[str]) -> FreeTask:
    """Make a task of free queries on the corpus of another task.

    The first :data:`DEPTH` documents that the whole rewrite ranks have full gain, and no others have any. The corpus is
    ranked, since there are no pools.

    Args:
        task: Task whose corpus, retriever, metric, cap and modes are used.
        queries: B queries, none of them blank.
        rewrites: B rewrites.

    Raises:
        TaskError: A query is blank, or no rewrite matches a document.
        RetrieverError: The retriever failed.
    """
    asked = free_prompts(task, queries)
    ids = asked.prompts("test")[0]
    rankings = asked.rankings(ids, rewrites)
    places = [place for place, ranking in enumerate(rankings) if ranking]
    if not places:
        raise TaskError("expected a rewrite that matches a document: there is no ranking to explain")
    tops = [rankings[place][:DEPTH] for place in places]
    doc_ids = task.data.documents["doc_id"]
    shown = pl.Series([doc_id for top in tops for doc_id in top], dtype=pl.String).unique()
    rows = doc_ids.is_in(shown.implode()).arg_true()
    row_of = dict(zip(doc_ids.gather(rows), rows.to_list(), strict=True))
    targets = [sorted(row_of[doc_id] for doc_id in top) for top in tops]
    kept = [ids[place] for place in places]
    opened = _with_targets(task, kept, [queries[place] for place in places], targets)
    return FreeTask(opened, tuple(kept), tuple(places))


def free_prompts(
    task: RetrievalTask, queries: Sequence[str], histories: Sequence[Sequence[str]] | None = None
) -> RetrievalTask:
    """Make a task whose test prompts are free queries, for policies to write for; nothing in it has a value.

    Args:
        task: Task whose corpus and settings are used.
        queries: B queries, none of them blank.
        histories: Earlier purchases of each query's shopper, oldest first; none where all are empty.

    Raises:
        TaskError: A query is blank.
    """
    blank = [place for place, query in enumerate(queries) if not query.strip()]
    if blank:
        raise TaskError(f"expected free queries that are not blank; query {blank[0] + 1} is")
    ids = [f"free-{number:06d}" for number in range(1, len(queries) + 1)]
    return _with_targets(task, ids, queries, [[0]] * len(ids), histories)


def _with_targets(
    task: RetrievalTask,
    ids: Sequence[str],
    queries: Sequence[str],
    targets: Sequence[Sequence[int]],
    histories: Sequence[Sequence[str]] | None = None,
) -> RetrievalTask:
    """A task on the same corpus whose queries have these documents of full gain."""
    none = pl.lit([], dtype=pl.List(pl.String))
    history = pl.Series([()] * len(ids) if histories is None else histories, dtype=pl.List(pl.String))
    table = pl.DataFrame({"query_id": ids, "split": "test", "query": queries}, schema_overrides={"split": pl.String})
    pools = pl.DataFrame({"query_id": ids, "doc_rows": targets}, schema_overrides={"doc_rows": pl.List(pl.UInt32)})
    qrels = pools.explode("doc_rows").select("query_id", doc_row="doc_rows", gain=pl.lit(1.0))
    data = PreparedData(
        task.data.documents,
        table.with_columns(history=history, intent=none),
        pools,
        qrels,
        task.data.demonstrations.clear(),
        {**task.data.manifest, "dataset": f"free queries on {task.data.manifest['dataset']}"},
    )
    return RetrievalTask(
        data,
        task.retriever,
        task.metric,
        task.max_words,
        "corpus",
        task.compose,
        task.query_weight,
        task.repeats,
    )

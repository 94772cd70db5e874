"""The policy of a run in an evaluation: numbers of the first screen, phrases, and single queries."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ospo_agents import AgentError
from ospo_agents.calls import training_calls
from ospo_cli._credited_rewrites import credit_rewrites
from ospo_cli._phrases import PhraseStudy, study_phrases
from ospo_cli._report.headline import UnderRetriever, Written, find_repeats, under_retrievers, words_written
from ospo_cli._report.queries import ListedQuery, listed_rows, mark_repeats
from ospo_cli._report.runs import Run
from ospo_env import RetrievalTask
from ospo_env.evaluation.phrase_table import FEWEST_QUERIES

__all__ = ["HeldOut", "Queries", "measure_held_out", "segmenter_of"]


class Queries(NamedTuple):
    """Single queries of an evaluation, under the retriever of the report's task.

    Attributes:
        ids: Q ids.
        texts: The rewrite of each.
        gains: float64 (Q,), what each gains over the raw query.
        listed: Queries in the page's list.
        study: Credit of the phrases of all rewrites.
    """

    ids: list[str]
    texts: list[str]
    gains: NDArray[np.float64]
    listed: list[ListedQuery]
    study: PhraseStudy


class HeldOut(NamedTuple):
    """The policy of a run on the queries of an evaluation.

    Attributes:
        name: Name of the policy in the evaluation.
        trained_on: Names of the retrievers that it was trained on.
        rows: The policy against the raw query, under each retriever.
        written: Words of its rewrites; None where the evaluation stores no rewrites.
        row: Everything that the evaluation says about it, with counts of completions among it.
        gains: Gains of single queries by retriever, float64 (Q,); empty where the evaluation stores none.
        queries: Single queries; None where the evaluation stores none, or not under the task's retriever.
    """

    name: str
    trained_on: list[str]
    rows: list[UnderRetriever]
    written: Written | None
    row: Mapping[str, Any]
    gains: dict[str, NDArray[np.float64]]
    queries: Queries | None


def measure_held_out(
    evaluation: Mapping[str, Any], name: str, run: Run, task: RetrievalTask, solution: str | None
) -> HeldOut:
    """Gather what the page shows of a run's policy.

    Args:
        evaluation: Content of the file that ``ospo evaluate --json`` wrote.
        name: Name of the policy in it.
        run: The run.
        task: The task, with the retriever of the run and the settings of the evaluation.
        solution: Solution of the game for the credit of phrases; None for the usual one.

    Raises:
        AgentError: The evaluation has several rewrites of a query.
        TaskError: A query of the evaluation is unknown.
        RetrieverError: The retriever failed.
    """
    row = evaluation["policies"][name]
    retriever = run.arguments["retriever"]
    trained_on = row["trained_on"].split(",") if row["trained_on"] else run.trained_on
    rows = under_retrievers(evaluation, name, trained_on)
    if row.get("rewrites") is None or "query_ids" not in evaluation:
        return HeldOut(name, trained_on, rows, None, row, {}, None)
    ids, texts = evaluation["query_ids"], [texts[0] for texts in row["rewrites"]]
    for query_id, several in zip(ids, row["rewrites"], strict=True):
        if len(several) > 1:
            raise AgentError(
                f"--evaluation: expected one rewrite a query of {name}, which is a run's policy, got {len(several)} of "
                f"{query_id}; evaluate the run itself"
            )
    raw_queries = [task.query(query_id).query for query_id in ids]
    appended = task.compose == "append"
    written = words_written(texts, raw_queries, task.count_words(texts), appended=appended)
    raw, values = evaluation["raw_values"], row["values"]
    gains = {on: np.array(values[on], dtype=np.float64) - np.array(raw[on], dtype=np.float64) for on in row["metrics"]}
    if retriever not in gains:
        return HeldOut(name, trained_on, rows, written, row, gains, None)
    listed = [
        ListedQuery(
            ids[place],
            raw_queries[place],
            mark_repeats(texts[place], find_repeats(texts[place], raw_queries[place] if appended else "")),
            raw[retriever][place],
            values[retriever][place],
        )
        for place in listed_rows(gains[retriever])
    ]
    credited = credit_rewrites(
        task,
        ids,
        texts,
        segmenter=segmenter_of(run),
        solution=solution,
        calls=training_calls(task, None) or None,
    )
    study = study_phrases(task, credited, fewest=FEWEST_QUERIES)
    return HeldOut(name, trained_on, rows, written, row, gains, Queries(ids, texts, gains[retriever], listed, study))


def segmenter_of(run: Run) -> str:
    """Name of the segmenter of a run's training; learners without credit have none."""
    return str(run.arguments["segmenter"] or "phrases")

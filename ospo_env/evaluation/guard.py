"""Guard against rewrites that overturn a ranking: a rule without judgements, for servers and evaluations alike."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ospo_env.errors import TaskError
from ospo_env.evaluation.verdict import query_means
from ospo_env.scoring.calls import rankings
from ospo_env.task import RetrievalTask

__all__ = ["DEPTH", "THRESHOLDS", "Guard", "choose_threshold", "top_overlaps"]

DEPTH = 10
"""Documents at the top of a ranking that the rule compares."""

THRESHOLDS = tuple(count / DEPTH for count in range(DEPTH + 1))
"""Thresholds that differ; the first keeps every rewrite."""


@dataclass(frozen=True)
class Guard:
    """Rule: a rewrite is kept if enough of the raw query's best documents stay among the best.

    The raw query is sent in place of a rewrite whose :func:`top_overlaps` is below the threshold. Overlap says how much
    of a ranking a rewrite overturns, not whether the new one is better: the threshold has to come from queries with
    judgements (:func:`choose_threshold`).

    Attributes:
        threshold: Share of the raw query's first :data:`DEPTH` documents, in [0, 1]; 0 keeps every rewrite.

    Raises:
        TaskError: The threshold is out of range.
    """

    threshold: float

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise TaskError(f"expected a guard's threshold in [0, 1]; got {self.threshold}")

    def keeps(self, overlaps: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether each rewrite is kept, bool (B,), from overlaps (B,).

        >>> Guard(0.3).keeps(np.array([0.2, 0.3, 1.0])).tolist()
        [False, True, True]
        """
        kept: NDArray[np.bool_] = overlaps >= self.threshold
        return kept


def top_overlaps(task: RetrievalTask, prompt_ids: Sequence[str], texts: Sequence[str]) -> NDArray[np.float64]:
    """Share of the raw query's first :data:`DEPTH` documents that are among the first of each rewrite.

    Both texts are ranked as the task sends them, and always on the whole corpus, as a search engine ranks.

    Args:
        task: Its retriever ranks, its modes make the texts.
        prompt_ids: B ids.
        texts: B rewrites.

    Returns:
        float64 (B,), in [0, 1]; 1 where the raw query ranks nothing, since there is nothing to lose.

    Raises:
        TaskError: An id is unknown.
        RetrieverError: The retriever failed.
    """
    before = task.sent(prompt_ids, task.raw_rewrites(prompt_ids))
    after = task.sent(prompt_ids, texts)
    distinct = list(dict.fromkeys([*before, *after]))
    ranked = rankings(task.retriever, distinct, DEPTH, task.data.documents.height)
    top = {text: frozenset(rows.tolist()) for text, (rows, _) in zip(distinct, ranked, strict=True)}
    return np.array(
        [
            len(top[raw] & top[rewritten]) / len(top[raw]) if top[raw] else 1.0
            for raw, rewritten in zip(before, after, strict=True)
        ]
    )


def choose_threshold(
    overlaps: NDArray[np.float64],
    values: NDArray[np.float64],
    raw_values: NDArray[np.float64],
    prompt_ids: Sequence[str],
) -> float:
    """The threshold of :data:`THRESHOLDS` with the highest mean value over queries; of equal ones the lowest.

    Args:
        overlaps: float64 (B,), of rewrites of queries that are not those of a test.
        values: float64 (B,), what each rewrite is worth.
        raw_values: float64 (B,), what the raw query is worth.
        prompt_ids: B ids of the rewrites' queries; a query with several rewrites counts by their mean.

    >>> overlaps, values = np.array([0.1, 0.2, 0.9]), np.array([0.1, 0.0, 0.8])
    >>> choose_threshold(overlaps, values, np.array([0.0, 0.5, 0.4]), ["a", "b", "c"])
    0.3
    """
    ids = list(dict.fromkeys(prompt_ids))
    means = [
        query_means(np.where(Guard(threshold).keeps(overlaps), values, raw_values), prompt_ids, ids).mean()
        for threshold in THRESHOLDS
    ]
    return THRESHOLDS[int(np.argmax(np.round(means, 12)))]

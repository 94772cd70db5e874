"""Rewrites of many queries with the credit of their phrases, and what each gains over the raw query."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ospo_agents.assignment import CreditedText, assign_credit
from ospo_agents.progress_bar import progress_bar
from ospo_env import RetrievalTask
from ospo_env.evaluation.verdict import EQUAL, query_means
from ospo_env.text import tokens

__all__ = ["CreditedRewrite", "credit_rewrites", "query_gains"]

_AT_ONCE = 1024  # rewrites in one call of assign_credit, since exact plans are large
_AT_ONCE_SLOW = 32  # the same where every coalition is a text to rank, so that there is progress to see


@dataclass(frozen=True)
class CreditedRewrite:
    """A rewrite with the credit of its phrases.

    Attributes:
        prompt_id: Id of its query.
        query: The raw query.
        raw: Worth of the raw query.
        credited: The rewrite, its segments and what each earned.
        left_out: Words of the query that the retriever is not sent.
    """

    prompt_id: str
    query: str
    raw: float
    credited: CreditedText
    left_out: tuple[str, ...]

    @property
    def gain(self) -> float:
        """Worth of the rewrite less that of the raw query."""
        return self.credited.worth - self.raw

    @property
    def phrases(self) -> list[tuple[str, float]]:
        """Text and credit of each segment that counts, in order."""
        spans = self.credited.spans[: self.credited.players]
        texts = [self.credited.text[start:end].strip() for start, end in spans]
        return list(zip(texts, self.credited.credit.tolist(), strict=False))

    @property
    def costliest(self) -> tuple[str, float] | None:
        """Text and credit of the phrase of the least credit, if that is below 0."""
        text, credit = min(self.phrases, key=lambda phrase: phrase[1], default=("", 0.0))
        return (text, credit) if credit < -EQUAL else None

    @property
    def estimated(self) -> bool:
        """Whether credit has an error, known or not."""
        error = self.credited.standard_error
        return error is not None and bool((error != 0).any())


def credit_rewrites(
    task: RetrievalTask,
    prompt_ids: Sequence[str],
    texts: Sequence[str],
    *,
    segmenter: str | None = None,
    solution: str | None = None,
    calls: int | None = None,
) -> tuple[CreditedRewrite, ...]:
    """Divide the worth of each rewrite among its phrases; the task is called once for many.

    Args:
        task: Task that values the rewrites.
        prompt_ids: B ids, at least one.
        texts: B rewrites.
        segmenter: As for :func:`ospo_agents.assign_credit`, as are ``solution`` and ``calls``.
        solution: A rewrite with more segments than its budget allows is credited by its sampled form.
        calls: Distinct texts of a rewrite that are scored at most.

    Raises:
        AgentError: A name is unknown.
        RetrieverError: The retriever failed.
    """
    ids = list(dict.fromkeys(prompt_ids))
    raw_of = dict(zip(ids, task.rewards(ids, task.raw_rewrites(ids)).tolist(), strict=True))
    query_of = {prompt_id: task.query(prompt_id).query for prompt_id in ids}
    credited: list[CreditedText] = []
    at_once = _AT_ONCE if task.linear else _AT_ONCE_SLOW
    with progress_bar(total=len(texts), desc="crediting", unit="rewrite") as bar:
        for start in range(0, len(texts), at_once):
            chunk = slice(start, start + at_once)
            credited += assign_credit(
                task,
                prompt_ids[chunk],
                texts[chunk],
                segmenter=segmenter,
                solution=solution,
                calls=calls,
                over_budget="sample",
            )
            bar.update(len(texts[chunk]))
    return tuple(
        CreditedRewrite(prompt_id, query_of[prompt_id], raw_of[prompt_id], one, _left_out(query_of[prompt_id], sent))
        for prompt_id, one, sent in zip(prompt_ids, credited, task.sent(prompt_ids, texts), strict=True)
    )


def query_gains(rewrites: Sequence[CreditedRewrite], worths: Sequence[float] | None = None) -> NDArray[np.float64]:
    """Mean gain over the raw query of each query's rewrites.

    Args:
        rewrites: B rewrites of Q queries.
        worths: B worths of other texts in their place.

    Returns:
        float64 (Q,), in the order in which queries first come.
    """
    worths = [row.credited.worth for row in rewrites] if worths is None else worths
    gains = np.array([worth - row.raw for worth, row in zip(worths, rewrites, strict=True)])
    prompt_ids = [row.prompt_id for row in rewrites]
    return query_means(gains, prompt_ids, list(dict.fromkeys(prompt_ids)))


def _left_out(query: str, sent: str) -> tuple[str, ...]:
    words = set(tokens(sent))
    return tuple(word for word in dict.fromkeys(tokens(query)) if word not in words)

"""What rewrites bring: ranked and measured in a batch, of which a single step is a batch of one."""

from collections.abc import Sequence
from typing import NamedTuple

from ospo_env.task import RetrievalTask

__all__ = ["Outcome", "judge"]


class Outcome(NamedTuple):
    """What one rewrite brought.

    Attributes:
        reward: In [0, 1]; equal to ``task.rewards``, bit for bit.
        ranking: Ids of all ranked documents of the pool, best first; those that the text does not match are absent.
        metrics: All metrics of that ranking by name, each in [0, 1].
        words_beyond_cap: Words that were not scored.
    """

    reward: float
    ranking: tuple[str, ...]
    metrics: dict[str, float]
    words_beyond_cap: int


def judge(task: RetrievalTask, prompt_ids: Sequence[str], texts: Sequence[str]) -> list[Outcome]:
    """Rank and measure a batch of rewrites in one call of the retriever.

    Args:
        task: What ranks and measures.
        prompt_ids: One for each text, length B.
        texts: The rewrites, length B.

    Returns:
        B outcomes.

    Raises:
        RetrieverError: The retriever failed.
    """
    judged = task.judge(prompt_ids, texts)
    each = zip(*(values.tolist() for values in judged.metrics.values()), strict=True)
    metrics = [dict(zip(judged.metrics, values, strict=True)) for values in each]
    return [
        Outcome(reward=named[task.metric], ranking=ranked, metrics=named, words_beyond_cap=beyond)
        for named, ranked, beyond in zip(metrics, judged.rankings, judged.words_beyond_cap, strict=True)
    ]

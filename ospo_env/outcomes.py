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
    metrics = task.evaluate(prompt_ids, texts)
    rankings = task.rankings(prompt_ids, texts)  # of the scores that the line above left in the task's cache
    return [
        Outcome(
            reward=float(metrics[task.metric][row]),
            ranking=rankings[row],
            metrics={name: float(values[row]) for name, values in metrics.items()},
            words_beyond_cap=task.words_beyond_cap(text),
        )
        for row, text in enumerate(texts)
    ]

"""The outcome of one rewrite."""

from typing import NamedTuple

__all__ = ["Outcome"]


class Outcome(NamedTuple):
    """Reward, ranking and metrics of one rewrite.

    Attributes:
        reward: In [0, 1]; equal to ``task.rewards``, bit for bit.
        ranking: Ids of all ranked documents, best first; documents that the text does not match are absent.
        metrics: The task's own metric and :data:`~ospo_env.task.DEFAULT_METRICS` by name, each in [0, 1].
        words_beyond_cap: Words that were not scored.
    """

    reward: float
    ranking: tuple[str, ...]
    metrics: dict[str, float]
    words_beyond_cap: int
